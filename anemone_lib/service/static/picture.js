"use strict";
// The picture of a recording: events in a strip, the spectrogram below, a time axis; wavesurfer.js draws it.
const MOST_BYTES = 800e6; // of decoded audio, which the browser holds in memory
const REDRAW_MS = 200; // after the last move of the zoom, before wavesurfer.js draws what it stretched (500 ms)
const CLOSEST = 2000; // pixels a second: a pulse of 15 ms is 30 pixels wide

// The channel that was analysed, of decoded audio; the mean of all, if it is none by itself.
function keepChannel(audio, channel) {
  const n = audio.numberOfChannels;
  if (n === 1) return audio;
  const kept = new AudioBuffer({ length: audio.length, sampleRate: audio.sampleRate, numberOfChannels: 1 });
  const chosen = Number(channel) ? [channel - 1] : Array.from({ length: n }, (_, k) => k), samples = kept.getChannelData(0);
  for (const k of chosen) audio.getChannelData(k).forEach((value, at) => { samples[at] += value / chosen.length; });
  return kept;
}

class Picture {
  constructor(audio, play) {
    this.audio = audio;
    this.play = play;
    this.surfer = null;
  }

  // Draw; resolves to whether the browser could.
  async draw(file, { audio_duration: duration, sample_rate: rate, provenance }, highest) {
    this.remove();
    if (Math.max(file.size, 4 * duration * rate) > MOST_BYTES) return false;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const surfer = this.surfer = WaveSurfer.create({
      container: "#wave",
      media: this.audio,
      url: this.audio.src, // else it loads what the element played before
      height: 40,
      normalize: true,
      minPxPerSec: $("wave").clientWidth / duration, // the spectrogram needs the number
      sampleRate: Math.min(48000, Math.max(8000, 4 * highest)),
      waveColor: dark ? "#9ab" : "#567",
      progressColor: dark ? "#9ab" : "#567",
      cursorColor: "#e02020",
      cursorWidth: 2,
    });
    this.regions = surfer.registerPlugin(WaveSurfer.Regions.create());
    this.spectrogram = surfer.registerPlugin(WaveSurfer["Spectrogram-windowed"].create({
      height: 256, labels: false, scale: "linear", frequencyMin: 0, frequencyMax: highest, fftSamples: 512,
      colorMap: "roseus", gainDB: 20, rangeDB: 70, windowFunc: "hann", useWebWorker: false,
    }));
    surfer.registerPlugin(WaveSurfer.Timeline.create({ formatTimeCallback: (seconds) => `${+seconds.toFixed(3)} s` }));
    this.regions.on("region-clicked", (region, event) => {
      event.stopPropagation();
      this.play(region.event);
    });
    surfer.on("decode", () => { surfer.decodedData = keepChannel(surfer.decodedData, provenance.channel); });
    try {
      await new Promise((resolve, reject) => {
        surfer.on("ready", resolve);
        surfer.on("error", reject);
        // Of a file that the browser cannot play, wavesurfer.js would wait for the duration for ever.
        this.audio.addEventListener("error", reject, { once: true });
      });
    } catch {
      if (surfer === this.surfer) this.remove();
      return false;
    }
    if (surfer !== this.surfer) return false;
    const scroller = surfer.getWrapper().parentElement;
    scroller.tabIndex = 0;
    scroller.setAttribute("role", "region");
    scroller.setAttribute("aria-label", "Spectrogram over time; the arrow keys scroll it");
    this.drawAxis(highest);
    return true;
  }

  drawAxis(highest) {
    $("axis").replaceChildren(...[1, 0.75, 0.5, 0.25, 0].map((part) => element("span", `${Math.round(part * highest)} Hz`)));
  }

  // Show events in the strip.
  mark(events) {
    if (!this.surfer) return;
    this.regions.clearRegions();
    for (const event of events) {
      const region = this.regions.addRegion({
        start: event.start_time, end: event.end_time, drag: false, resize: false, color: "rgba(240, 150, 0, .55)",
      });
      region.event = event;
    }
  }

  // Why calls may have been missed, in what is drawn.
  findDoubts(config) {
    const audio = this.surfer.getDecodedData();
    return findDoubts(audio.getChannelData(0), audio.sampleRate, config);
  }

  // From the whole recording (0) to a single pulse (1). What is drawn is stretched at first, then drawn anew: stretched
  // from a whole hour to pulses it would be wider than a canvas may be.
  zoom(part) {
    const { surfer } = this;
    if (!surfer) return;
    const whole = $("wave").clientWidth / surfer.getDuration();
    surfer.zoom(whole >= CLOSEST ? whole : whole * (CLOSEST / whole) ** part);
    clearTimeout(this.redrawing);
    this.redrawing = setTimeout(() => this.spectrogram.render(surfer.getDecodedData()), REDRAW_MS);
  }

  scrollTo(seconds) {
    if (this.surfer) this.surfer.setScrollTime(Math.max(0, seconds));
  }

  remove() {
    clearTimeout(this.redrawing);
    if (this.surfer) this.surfer.destroy();
    this.surfer = null;
  }
}
