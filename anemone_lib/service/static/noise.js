"use strict";
// Why calls may have been missed, by the measures of anemone_lib/soundscape/noise.py: "there are no calls" and "calls
// could not be heard" are different answers.
const MASKED_DB = 10; // sound in the band of calls that is this much louder than in its quietest tenth hides faint calls
const SILENT_DB = -120;
const BLOCKS = 20; // of a second; their median leaves out calls and snaps
const CALL_BANDS_HZ = { anemonefish: [300, 1000] }; // of other classes: from 50 Hz to the highest that the model sees

// Second-order filter (R. Bristow-Johnson's cookbook, Q = 1/√2): "low" lets pass what is below `hz`, "high" what is above.
function makeFilter(kind, hz, rate) {
  const w = 2 * Math.PI * hz / rate, alpha = Math.sin(w) / Math.SQRT2, cos = Math.cos(w), a0 = 1 + alpha;
  const b1 = (kind === "low" ? 1 - cos : -(1 + cos)) / a0, b0 = Math.abs(b1) / 2, a1 = -2 * cos / a0, a2 = (1 - alpha) / a0;
  let [x1, x2, y1, y2] = [0, 0, 0, 0];
  return (x) => {
    const y = b0 * (x + x2) + b1 * x1 - a1 * y1 - a2 * y2;
    [x2, x1, y2, y1] = [x1, x, y1, y];
    return y;
  };
}

// The level of every second in a band, in dB.
function measureLevels(samples, rate, [low, high]) {
  const filters = [["high", low], ["low", Math.min(high, 0.45 * rate)]].flatMap((filter) => [filter, filter])
    .map(([kind, hz]) => makeFilter(kind, hz, rate));
  const size = Math.round(rate / BLOCKS), powers = [];
  for (let first = 0; first + size <= samples.length; first += size) {
    let sum = 0;
    for (let k = first; k < first + size; k++) sum += filters.reduce((value, filter) => filter(value), samples[k]) ** 2;
    powers.push(sum / size);
  }
  const levels = [];
  for (let first = 0; first < powers.length; first += BLOCKS) {
    const some = powers.slice(first, first + BLOCKS).sort((a, b) => a - b);
    levels.push(10 * Math.log10(some[some.length >> 1] + 1e-20));
  }
  return levels;
}

// Reasons in sentences; none, if calls would have been heard.
function findDoubts(samples, rate, config) {
  const share = (number) => `${Math.round(100 * number)} %`, doubts = [];
  const silent = samples.reduce((sum, value) => sum + (value === 0), 0) / samples.length;
  if (silent > 0.01) doubts.push(`${share(silent)} of the sound is digital silence: the recorder recorded nothing then.`);
  const levels = measureLevels(samples, rate, CALL_BANDS_HZ[config.target_class] || [50, config.fmax_hz]);
  const heard = levels.filter((level) => level > SILENT_DB).sort((a, b) => a - b); // digital silence is no measure of the quiet
  const masked = levels.filter((level) => level > heard[Math.floor(heard.length / 10)] + MASKED_DB).length / levels.length;
  if (masked > 0.1) {
    doubts.push(`In ${share(masked)} of the time, the band of the calls is ${MASKED_DB} dB louder than in quiet times: ` +
      "the noise then masks faint calls.");
  }
  return doubts;
}
