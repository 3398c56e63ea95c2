"""When a recording began: every maker's names and metadata, by the dates that a person reads in them."""

import pickle
import struct
from datetime import UTC, datetime, timedelta, timezone

import av
import numpy as np
import pytest
import soundfile

from anemone_lib.audio.clock import parse_zone, read_clock, spell_offset
from anemone_lib.audio.metadata import read_chunk
from anemone_lib.audio.recording import open_recording
from anemone_lib.errors import AudioError

MAKERS = {
    # AudioMoth
    "20230210_000001.WAV": "2023-02-10T00:00:01+00:00",
    "20230210_000001T.WAV": "2023-02-10T00:00:01+00:00",  # triggered
    "24E144085F256207_20200514_130000.WAV": "2020-05-14T13:00:00+00:00",
    "5B8F1F30.WAV": "2018-09-05T00:11:28+00:00",  # date -u -d @$((0x5B8F1F30))
    # SoundTrap
    "67416073.210610033655.wav": "2021-06-10T03:36:55+00:00",
    "5421.211004120000.wav": "2021-10-04T12:00:00+00:00",
    "SanctSound_SB01_01_1678032935_181112190000.wav": "2018-11-12T19:00:00+00:00",
    "SanctSound_FK01_04_soundscape_20200411T022449Z.wav": "2020-04-11T02:24:49+00:00",
    # Wildlife Acoustics
    "SM2_0+1_20120615$210000.wav": "2012-06-15T21:00:00+00:00",
    "MNHN_20120615$210000_-5.5+45.wav": "2012-06-15T21:00:00+00:00",  # with its position
    "SM304472_0+1_20181219$110000.wav": "2018-12-19T11:00:00+00:00",
    "S4A00123_20181221_210000.wav": "2018-12-21T21:00:00+00:00",
    "SMM00123_20200101_210000.wav": "2020-01-01T21:00:00+00:00",
    "2MM01234_20210101_210000.wav": "2021-01-01T21:00:00+00:00",
    # Swift
    "S01_20170101_000000.wav": "2017-01-01T00:00:00+00:00",
    "SwiftOne_20200908_040000_-0500.wav": "2020-09-08T04:00:00-05:00",
    "SwiftOne_20200908_040000(UTC-5).wav": "2020-09-08T04:00:00-05:00",
    # HARP
    "SITE_20181123_120000.x.wav": "2018-11-23T12:00:00+00:00",
    "CINMS17B_d03_111226_000500.x.wav": "2011-12-26T00:05:00+00:00",
    "CINMS17B_d03_111226_000500.d100.x.wav": "2011-12-26T00:05:00+00:00",
    "WAT_NC_03_170716_180000_df100.x.wav": "2017-07-16T18:00:00+00:00",
    # AMAR
    "AMAR173.4.20190920T004248Z.wav": "2019-09-20T00:42:48+00:00",
    "AMAR690.1.32000.M36-V35-100.20230101T000000.123Z.wav": "2023-01-01T00:00:00.123000+00:00",
    "MMS_Dep1.e1d282a3.Chan_1-24bps.1277236867.2010-06-22-20-01-07.wav": "2010-06-22T20:01:07+00:00",
    # icListen
    "SBF1234_20191001_040002.wav": "2019-10-01T04:00:02+00:00",
    "SBW1266_20120803_175500.wav": "2012-08-03T17:55:00+00:00",
    "ICLISTENHF1266_20180101T000000.000Z.wav": "2018-01-01T00:00:00+00:00",
    "RBW6061 20191001 040002.wav": "2019-10-01T04:00:02+00:00",
    # Loggerhead, Medusa
    "20170116T113000_2614231113215063_2.0dB_3.4V.wav": "2017-01-16T11:30:00+00:00",
    "20170116_1130_.wav": "2017-01-16T11:30:00+00:00",
    "medusa-20230412T101500.wav": "2023-04-12T10:15:00+00:00",
    # WISPR, gliders
    "WISPR_230504_195202.wav": "2023-05-04T19:52:02+00:00",
    "sg639_MHI_Apr2023_230411-221029.038.wav": "2023-04-11T22:10:29.038000+00:00",
    # moorings of NOAA, MBARI, RTSys, PAMGuard, BirdNET-Pi
    "NRS08-140523-001620.wav": "2014-05-23T00:16:20+00:00",
    "MARS-20150827T000000Z-16kHz.wav": "2015-08-27T00:00:00+00:00",
    "channelA_2020-05-20_12-00-00.wav": "2020-05-20T12:00:00+00:00",
    "2020_05_20__12_00_00.wav": "2020-05-20T12:00:00+00:00",
    "PAM_20171108_094819_000.wav": "2017-11-08T09:48:19+00:00",
    "PAMGuard_20171108_094819_123.wav": "2017-11-08T09:48:19.123000+00:00",
    "AMAR173.4.20190920T004248Z_250000Hz.wav": "2019-09-20T00:42:48+00:00",
    "ICLISTENAF2523_20190920T004248.123456Z.wav": "2019-09-20T00:42:48.123456+00:00",
    "5672.210610033655.x.wav": "2021-06-10T03:36:55+00:00",
    "ALOHA_2016-06-01--04.30.HYD24BBpk.mp3": "2016-06-01T04:30:00+00:00",
    "20230601T043000-0600_REC [-27.3889 +152.8814].flac": "2023-06-01T04:30:00-06:00",
    "20220421_120000(UTC+5.5).wav": "2022-04-21T12:00:00+05:30",
    "20220421_120000_GMT-3.25.wav": "2022-04-21T12:00:00-03:15",
    "20230601_043000_-10.5dB.wav": "2023-06-01T04:30:00+00:00",
    "D20190920-T004248.wav": "2019-09-20T00:42:48+00:00",
    "2023-02-10-birdnet-05:33:01.wav": "2023-02-10T05:33:01+00:00",
    # offsets
    "20210521T000000+1000_Spyglass.flac": "2021-05-21T00:00:00+10:00",
    "20220421T120000+1000.wav": "2022-04-21T12:00:00+10:00",
    "20150725-000003+1000.wav": "2015-07-25T00:00:03+10:00",
    "2015-07-25T00-00-03+10.wav": "2015-07-25T00:00:03+10:00",
    "2021-05-20T14:00:00.5+05:30.wav": "2021-05-20T14:00:00.500000+05:30",
    "Reef_20200103_120000-0330.wav": "2020-01-03T12:00:00-03:30",
    "Reef_20200103T120000-03.wav": "2020-01-03T12:00:00-03:00",
    "Queens_20230502_010000_Z.WAV": "2023-05-02T01:00:00+00:00",
    "20190920_004248_UTC.wav": "2019-09-20T00:42:48+00:00",
    "Brunswick04_002K_M06_multi_UTCm5_20170528_110000.aif": "2017-05-28T11:00:00-05:00",
    "2015-07-25T00-00-03+05-30.wav": "2015-07-25T00:00:03+05:30",  # a name in Windows has no colon
    "20150725_000003-01-15.wav": "2015-07-25T00:00:03+00:00",  # parts 1 to 15
    # twelve hours
    "2023-02-10 06.05.09 PM.wav": "2023-02-10T18:05:09+00:00",
    "20230210_120509am.wav": "2023-02-10T00:05:09+00:00",
    "20230210_120509_PM-0330.wav": "2023-02-10T12:05:09-03:30",
    "20230210_0605PM.wav": "2023-02-10T18:05:00+00:00",
    "20230210_180509_PM.wav": "2023-02-10T18:05:09+00:00",
    "20230210_060509_PMEL.wav": "2023-02-10T06:05:09+00:00",
    # digits alone
    "20101210033600.wav": "2010-12-10T03:36:00+00:00",
    "201012100336.wav": "2010-12-10T03:36:00+00:00",
    # what is near a date and none of it
    "20230210_000001_001.wav": "2023-02-10T00:00:01+00:00",
    "20230210_000001-05.wav": "2023-02-10T00:00:01+00:00",  # part 5
    "20230210_000001-20230210_001001.wav": "2023-02-10T00:00:01+00:00",
    "SITE_20230101_20230210_000001.wav": "2023-02-10T00:00:01+00:00",
    "20190920_004248_ZONE1.wav": "2019-09-20T00:42:48+00:00",
    "20230210_000001.44100.wav": "2023-02-10T00:00:01+00:00",
    "Reef_20200103_120000-1400.wav": "2020-01-03T12:00:00+00:00",  # no place is 14 hours behind
}


@pytest.mark.parametrize(("name", "when"), MAKERS.items())
def test_the_name_that_a_maker_gives_tells_when_the_recording_began(name, when):
    clock = read_clock(name)
    assert clock.start_time is not None
    assert clock.start_time.isoformat() == when
    assert (clock.source, clock.notes) == ("the name", ())


@pytest.mark.parametrize(
    "name",
    [
        *("reef.wav", "6000.wav", "20190920.wav", "20230230_000000.wav", "20230210_250000.wav", "20230210_006000.wav"),
        *("123456_654321.wav", "991332_101010.wav", "990411-221029.wav", "20991231_000000.wav", "deadbeef.wav"),
        *("S4A00123_20181301_210000.wav", "19000101_000000.wav", "00000000_000000.wav", "12345678901234.wav"),
    ],
)
def test_a_date_that_does_not_exist_or_cannot_be_is_no_date(name):
    assert read_clock(name).start_time is None


@pytest.mark.parametrize(
    ("comment", "when"),
    [
        ("Recorded at 19:22:55 14/12/2020 (UTC) by AudioMoth 24E1", "2020-12-14T19:22:55+00:00"),
        ("Recorded at 19:22:55 14/12/2020 (UTC-5) by AudioMoth 24E1", "2020-12-14T19:22:55-05:00"),
        ("Recorded at 19:22:55 14/12/2020 (UTC-3) at gain setting 2", "2020-12-14T19:22:55-03:00"),
        ("Recorded at 19:22:55 14/12/2020 (UTC+5:30) by AudioMoth", "2020-12-14T19:22:55+05:30"),
        ("Recorded at 19:22:55 14/12/2020 (UTC-0:30) by AudioMoth", "2020-12-14T19:22:55-00:30"),
        ("Recorded at 19:22:55.123 14/12/2022 (UTC+12:45) during deployment 0A", "2022-12-14T19:22:55.123000+12:45"),
        ("Recorded at 19:22:55 14/12/2017 by AudioMoth 24E1 at gain setting 2", "2017-12-14T19:22:55+09:00"),
    ],
)
def test_every_audiomoth_comment_is_read_and_the_zone_that_it_states_counts(comment, when):
    clock = read_clock("20200101_000000.WAV", {"ICMT": comment}, timezone="Asia/Tokyo")
    assert clock.start_time is not None
    assert clock.start_time.isoformat() == when
    assert ("Asia/Tokyo does not" in " ".join(clock.notes)) == ("UTC" in comment)


def test_an_offset_that_the_name_states_wins_over_the_time_zone_and_says_so():
    clock = read_clock("20210521T000000+1000.flac", timezone="Asia/Tokyo")
    assert clock.start_time == datetime(2021, 5, 20, 14, tzinfo=UTC)
    assert clock.notes == ("the name states UTC+10:00, which counts; the time zone Asia/Tokyo does not",)
    assert read_clock("20210521T000000+0900.flac", timezone="Asia/Tokyo").notes == ()  # both say the same


@pytest.mark.parametrize("name", ["MARS-20150827T000000Z-16kHz.wav", "ICLISTENHF1252_20160501T000102.123Z-HPF.wav"])
def test_a_z_before_what_else_the_name_says_is_an_offset(name):
    assert read_clock(name, timezone="Asia/Tokyo").start_time.utcoffset() == timedelta()


def test_the_time_zone_is_that_of_names_without_an_offset():
    assert read_clock("20230710_120000.wav", timezone="America/New_York").start_time.isoformat() == (
        "2023-07-10T12:00:00-04:00"
    )
    assert read_clock("20230110_120000.wav", timezone="America/New_York").start_time.isoformat() == (
        "2023-01-10T12:00:00-05:00"
    )
    assert read_clock("5B8F1F30.WAV", timezone="Asia/Tokyo").start_time == datetime(2018, 9, 5, 0, 11, 28, tzinfo=UTC)


def test_a_time_that_summer_time_leaves_out_is_that_of_a_clock_which_does_not_follow_it():
    (note,) = read_clock("20230312_023000.wav", timezone="America/New_York").notes
    assert "does not follow summer time" in note
    assert "America/New_York" in note
    for name, zone in [("20230312_033000.wav", "America/New_York"), ("20230312_023000.wav", "-05:00")]:
        assert read_clock(name, timezone=zone).notes == ()
    assert read_clock("20231105_013000.wav", timezone="America/New_York").notes == ()  # twice, and so it exists


def test_a_recorders_offset_does_not_change_within_a_recording():
    began = read_clock("20231104_230000.wav", timezone="America/New_York").start_time
    assert (began + timedelta(hours=24)).utcoffset() == began.utcoffset() == timedelta(hours=-4)


@pytest.mark.parametrize(
    "moment", ["Recorded at 00:00:12 01/01/1970 (UTC) by AudioMoth", "Recorded at 00:00:00 01/01/1980 (UTC)"]
)
def test_a_clock_that_was_never_set_is_not_believed_and_that_is_said(moment):
    clock = read_clock("reef.wav", {"ICMT": moment})
    assert clock.start_time is None
    assert "the clock was not set" in clock.notes[0]
    assert read_clock("20230210_000001.wav", {"ICMT": moment}).start_time == datetime(2023, 2, 10, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("comments", "when"),
    [
        ({"guano_timestamp": "2017-04-14T04:18:51-04:00"}, "2017-04-14T04:18:51-04:00"),
        ({"guano_timestamp": "2017-04-14T04:18:51.5Z"}, "2017-04-14T04:18:51.500000+00:00"),
        ({"guano_timestamp": "2017-04-14T04:18:51"}, "2017-04-14T04:18:51+09:00"),
        ({"wamd_timestamp": "2014-04-02 22:59:14-05:00"}, "2014-04-02T22:59:14-05:00"),
        ({"wamd_timestamp": "2014-04-02 22:59:14.000"}, "2014-04-02T22:59:14+09:00"),
        ({"origination": "2020-05-20 12:34:56"}, "2020-05-20T12:34:56+09:00"),
        ({"origination": "2020:05:20 12:34:56"}, "2020-05-20T12:34:56+09:00"),
        ({"DATE": "2021-05-20T14:00:00Z"}, "2021-05-20T14:00:00+00:00"),
        ({"date": "2021-05-20 14:00"}, "2021-05-20T14:00:00+09:00"),
        ({"CREATION_TIME": "2021-05-20T14:00:00.000000Z"}, "2021-05-20T14:00:00+00:00"),
        ({"ICRD": "2021-05-20 14:00:00+10:00"}, "2021-05-20T14:00:00+10:00"),
        ({"DATE": "2021-05-20"}, None),  # a day is no start
        ({"DATE": "2021"}, None),
        ({"creation_time": "1970-01-01T00:00:00.000000Z"}, None),
        ({"creation_time": "1904-01-01T00:00:00.000000Z"}, None),
        ({"origination": "0000-00-00 00:00:00"}, None),
    ],
)
def test_metadata_tell_when_the_recording_began(comments, when):
    began = read_clock("reef.wav", comments, timezone="Asia/Tokyo").start_time
    assert (began and began.isoformat()) == when


def test_what_the_recorder_wrote_into_the_file_counts_before_the_name_and_the_name_before_tags():
    name = "20200101_000000.WAV"
    assert read_clock(name, {"guano_timestamp": "2017-04-14T04:18:51Z"}).start_time.year == 2017
    assert read_clock(name, {"creation_time": "2024-04-14T04:18:51Z"}).start_time.year == 2020


# ---------------------------------------------------------------------- what the caller says


@pytest.mark.parametrize(
    ("start", "when"),
    [
        ("2023-02-10 00:00:01", "2023-02-10T00:00:01+09:00"),
        ("2023-02-10T00:00:01+01:00", "2023-02-10T00:00:01+01:00"),
        (datetime(2023, 2, 10, tzinfo=UTC), "2023-02-10T00:00:00+00:00"),
        (datetime(2023, 2, 10), "2023-02-10T00:00:00+09:00"),
    ],
)
def test_a_start_that_is_given_counts_before_all(start, when):
    clock = read_clock(
        "20200101_000000.WAV", {"guano_timestamp": "2017-04-14T04:18:51Z"}, start_time=start, timezone="+09:00"
    )
    assert clock.start_time.isoformat() == when


@pytest.mark.parametrize(
    ("name", "layout", "when"),
    [
        ("site7-07May2023-1405.wav", "%d%b%Y-%H%M", "2023-05-07T14:05:00+00:00"),
        ("dive 3, 7 May 2023 14h05.wav", "%d %B %Y %Hh%M", "2023-05-07T14:05:00+00:00"),
        ("10-02-2023 05.33.01 PM.wav", "%d-%m-%Y %I.%M.%S %p", "2023-02-10T17:33:01+00:00"),
        ("a2023041_0102.wav", "%Y%j_%H%M", "2023-02-10T01:02:00+00:00"),
        ("R20230210000102x.wav", "%Y%m%d%H%M%S", "2023-02-10T00:01:02+00:00"),
        ("x_2023-02-10T00.00.01-0330.wav", "%Y-%m-%dT%H.%M.%S%z", "2023-02-10T00:00:01-03:30"),
        ("99_32_23021012.wav", "%y%m%d%H", "2023-02-10T12:00:00+00:00"),
    ],
)
def test_a_format_that_is_given_finds_the_date_wherever_it_stands_in_the_name(name, layout, when):
    assert read_clock(name, start_time_format=layout).start_time.isoformat() == when


def test_a_name_that_does_not_follow_the_format_has_no_start_and_says_so():
    clock = read_clock("20230210_000001.wav", start_time_format="%d-%m-%Y %H")
    assert clock.start_time is None
    assert clock.notes == ("the name has no date of the form '%d-%m-%Y %H', so the start is not known",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone is 'Mars/Olympus'.*Asia/Tokyo"),
        ({"timezone": "+25:00"}, r"timezone is '\+25:00'"),
        ({"start_time": "yesterday"}, "start_time is 'yesterday'.*2023-02-10"),
        ({"start_time_format": "%Q"}, "%Q cannot be read"),
        ({"start_time_format": "%H%M"}, "must have a day and an hour"),
    ],
)
def test_what_cannot_be_understood_is_an_error_with_the_way_out(options, words):
    with pytest.raises(AudioError, match=words):
        read_clock("reef.wav", **options)


@pytest.mark.parametrize("name", ["+09:00", "+0900", "+9", "UTC+9", "Asia/Tokyo"])
def test_time_zones_are_names_or_offsets(name):
    assert datetime(2023, 2, 10, tzinfo=parse_zone(name)).utcoffset() == timedelta(hours=9)


def test_offsets_are_spelled_for_people():
    spelled = [spell_offset(datetime(2023, 2, 10, tzinfo=timezone(timedelta(hours=h)))) for h in (0, 10, -3.5, 5.75)]
    assert spelled == ["UTC", "UTC+10:00", "UTC−03:30", "UTC+05:45"]


# ---------------------------------------------------------------------- in whole files


def wav_with(*chunks, n_samples=800):
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    for name, content in chunks:
        body += name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    samples = np.zeros(n_samples, "<i2").tobytes()
    body += b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


BEXT = b"a description".ljust(320, b"\0") + b"2020-05-2012:34:56" + b"\0" * 264
WAMD = struct.pack("<HI", 0, 2) + b"\1\0" + struct.pack("<HI", 5, 25) + b"2014-04-02 22:59:14-05:00"


@pytest.mark.parametrize(
    ("name", "content", "when"),
    [
        (
            b"guan",
            b"GUANO|Version: 1.0\nTimestamp: 2017-04-14T04:18:51-04:00\nNote: x: y\n",
            "2017-04-14T04:18:51-04:00",
        ),
        (b"wamd", WAMD, "2014-04-02T22:59:14-05:00"),
        (b"bext", BEXT, "2020-05-20T12:34:56+00:00"),
        (
            b"LIST",
            b"INFOICMT" + struct.pack("<I", 57) + b"Recorded at 19:22:55 14/12/2020 (UTC-5) by AudioMoth 24E1\0",
            "2020-12-14T19:22:55-05:00",
        ),
        (b"LIST", b"INFOICRD" + struct.pack("<I", 20) + b"2021-05-20T14:00:00Z", "2021-05-20T14:00:00+00:00"),
    ],
)
def test_chunks_of_wav_files_tell_when_they_were_recorded(tmp_path, name, content, when):
    path = tmp_path / "reef.wav"
    path.write_bytes(wav_with((name, content)))
    with open_recording(path) as recording:
        assert recording.start_time is not None
        assert recording.start_time.isoformat() == when


@pytest.mark.parametrize("cut", [0, 1, 5, 40])
@pytest.mark.parametrize("name", [b"guan", b"wamd", b"bext", b"LIST"])
def test_damaged_metadata_are_no_error(name, cut):
    for content in (BEXT[:cut], WAMD[:cut], b"\xff" * cut, b"INFO" + b"\xff" * cut):
        assert isinstance(read_chunk(name, content), dict)


@pytest.mark.parametrize("key", ["DATE", "CREATION_TIME", "START_TIME"])
def test_tags_of_flac_tell_when_it_was_recorded(tmp_path, key):
    path = tmp_path / "reef.flac"
    with av.open(str(path), "w") as box:
        box.metadata[key] = "2021-05-20T14:00:00+10:00"
        stream = box.add_stream("flac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    with open_recording(path) as recording:
        assert recording.start_time == datetime(2021, 5, 20, 4, tzinfo=UTC)


def test_tags_of_ogg_tell_when_it_was_recorded(tmp_path):
    path = tmp_path / "reef.ogg"
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        file.date = "2021-05-20T14:00:00+10:00"
        file.write(np.zeros(16000))
    with open_recording(path) as recording:
        assert recording.start_time == datetime(2021, 5, 20, 4, tzinfo=UTC)


def test_a_recording_says_whose_clock_counted(write_wav):
    path = write_wav(np.zeros(100), name="20210521T000000+1000.wav")
    with open_recording(path, timezone="Asia/Tokyo") as recording:
        assert any("the name states UTC+10:00" in note for note in recording.warnings)


def test_a_start_and_a_format_are_taken_along_to_other_processes(write_wav):
    path = write_wav(np.zeros(100), name="7May2023 14h.wav")
    with open_recording(path, start_time_format="%d%b%Y %Hh", timezone="+09:00") as recording:
        with pickle.loads(pickle.dumps(recording)) as again:
            assert again.start_time == recording.start_time == datetime(2023, 5, 7, 5, tzinfo=UTC)


LOG = """<?xml version="1.0" encoding="UTF-8"?>
<ST><PROC_EVENT ID="0"><WavFileHandler Channels="1"/></PROC_EVENT>
<PROC_EVENT ID="5"><WavFileHandler SamplingStartTimeLocal="2021-06-10T13:36:55" /></PROC_EVENT>
<PROC_EVENT ID="5"><WavFileHandler SamplingStopTimeUTC="2021-06-10T03:46:55" /></PROC_EVENT>
<PROC_EVENT ID="5"><WavFileHandler SamplingStartTimeUTC="2021-06-10T03:36:55" /></PROC_EVENT>
<PROC_EVENT ID="5"><WavFileHandler SamplingStartTimeSubS="250000 us" /></PROC_EVENT></ST>
"""


@pytest.mark.parametrize(
    ("log", "when"),
    [
        (LOG, "2021-06-10T13:36:55.250000+10:00"),
        ("\n".join(line for line in LOG.splitlines() if "Local" not in line), "2021-06-10T03:36:55.250000+00:00"),
        ("<ST>cut off", "2021-06-10T13:36:55+09:00"),
        ('<ST SamplingStartTimeUTC="yesterday">', "2021-06-10T13:36:55+09:00"),
    ],
)
def test_the_log_beside_a_soundtraps_recording_tells_its_start_and_offset(tmp_path, log, when):
    soundfile.write(tmp_path / "67416073.210610133655.wav", np.zeros(800), 8000)
    (tmp_path / "67416073.210610133655.log.xml").write_text(log)
    with open_recording(tmp_path / "67416073.210610133655.wav", timezone="Asia/Tokyo") as recording:
        assert recording.start_time.isoformat() == when
        assert ("SoundTrap's log beside the file states UTC" in " ".join(recording.warnings)) == (".25" in when)
