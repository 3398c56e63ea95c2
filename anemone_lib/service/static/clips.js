"use strict";
// The events of a recording as sounds: WAV files in a ZIP, made by the browser.

// CRC-32 of bytes, as ZIP wants it.
function checkBytes(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// Little-endian numbers: [[bytes, value], …].
function pack(fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true); else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

// A ZIP of [name, bytes], uncompressed.
function zip(entries) {
  const parts = [], directory = [];
  let offset = 0;
  for (const [name, bytes] of entries) {
    const spelled = new TextEncoder().encode(name);
    const shared = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, checkBytes(bytes)], [4, bytes.length], [4, bytes.length],
      [2, spelled.length], [2, 0]];
    parts.push(pack([[4, 0x04034b50], ...shared]), spelled, bytes);
    directory.push(pack([[4, 0x02014b50], [2, 20], ...shared, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), spelled);
    offset += 30 + spelled.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0), n = entries.length;
  const end = pack([[4, 0x06054b50], [2, 0], [2, 0], [2, n], [2, n], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// Samples of a stretch as a WAV file, 32-bit float, all channels.
function writeWav(audio, start, end) {
  const first = Math.round(start * audio.sampleRate), stop = Math.min(audio.length, Math.round(end * audio.sampleRate));
  const n = audio.numberOfChannels, samples = new Float32Array((stop - first) * n), rate = audio.sampleRate;
  for (let channel = 0; channel < n; channel++) {
    audio.getChannelData(channel).subarray(first, stop).forEach((value, k) => { samples[k * n + channel] = value; });
  }
  const size = samples.byteLength;
  const header = pack([[4, 0x46464952], [4, 36 + size], [4, 0x45564157], [4, 0x20746d66], [4, 16], [2, 3], [2, n], [4, rate],
    [4, 4 * n * rate], [2, 4 * n], [2, 32], [4, 0x61746164], [4, size]]);
  const bytes = new Uint8Array(header.length + size);
  bytes.set(header);
  bytes.set(new Uint8Array(samples.buffer), header.length);
  return bytes;
}

// The clips of events as a ZIP, of one channel or of all; fails where the browser cannot decode the recording.
async function cutClips(file, events, rate, channel) {
  const whole = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  const audio = channel ? keepChannel(whole, channel) : whole;
  const stem = file.name.replace(/\.[^.]*$/, "");
  return zip(events.map(({ start_time: start, end_time: end }) =>
    [`${stem}_${start.toFixed(2)}-${end.toFixed(2)}s.wav`, writeWav(audio, start, end)]));
}
