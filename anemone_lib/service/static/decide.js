"use strict";
// Probabilities to events, by the rule of anemone_lib/detection/events.py, so that the page can decide at once.
// Times in a result are rounded to the microsecond; what differs by less is equal.
const SAME_S = 2e-6;

// Median over neighbours, the edges repeated.
function smooth(values, width) {
  const half = (width - 1) / 2;
  const at = (k) => values[Math.min(values.length - 1, Math.max(0, k))];
  return values.map((_, k) => Array.from({ length: width }, (_, j) => at(k - half + j)).sort((a, b) => a - b)[half]);
}

// The events of a result for other settings: `config` as in /health, `metadata` as in the result.
function decideEvents(predictions, config, metadata) {
  const pauses = (metadata.coverage.pauses || []).map((pause) => pause.time);
  const edges = [0, ...pauses, metadata.audio_duration];
  const events = [];
  for (let k = 0; k + 1 < edges.length; k++) {
    const last = k + 2 === edges.length;
    const windows = predictions.filter(({ start_time: start, end_time: end }) => {
      const middle = (start + end) / 2;
      return (k === 0 || middle >= edges[k]) && (last || middle < edges[k + 1]);
    });
    // A window that was skipped is not in the result; no smoothing and no event reaches across it.
    for (let first = 0, stop; first < windows.length; first = stop) {
      stop = first + 1;
      const step = 1.5 * config.stride_duration;
      while (stop < windows.length && windows[stop].start_time - windows[stop - 1].start_time < step) stop++;
      events.push(...findEvents(windows.slice(first, stop), config, edges[k], edges[k + 1]));
    }
  }
  return events;
}

function findEvents(windows, config, begin, end) {
  const values = windows.map((window) => Math.fround(window.probabilities[config.target_class]));
  const smoothed = smooth(values, config.smoothing_window);
  const groups = [];
  smoothed.forEach((value, k) => {
    if (value < Math.fround(config.confidence_threshold)) return;
    const group = groups.at(-1);
    const start = Math.max(windows[k].start_time, begin), stop = Math.min(windows[k].end_time, end);
    const follows = group && group.last === k - 1;
    if (follows || (group && start - group.end_time < config.min_gap_duration - SAME_S)) {
      Object.assign(group, { end_time: stop, last: k });
      group.values.push(value);
    } else groups.push({ start_time: start, end_time: stop, last: k, values: [value] });
  });
  return groups
    .filter((group) => group.end_time - group.start_time >= config.min_event_duration - SAME_S)
    .map(({ start_time, end_time, values }) => ({
      start_time,
      end_time,
      duration: end_time - start_time,
      mean_confidence: values.reduce((sum, value) => sum + value, 0) / values.length,
      max_confidence: Math.max(...values),
      num_windows: values.length,
    }));
}
