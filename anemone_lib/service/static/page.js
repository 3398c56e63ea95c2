"use strict";
// The page: options, a queue of recordings, the result of one of them.
const SHOWN = 1000; // events in the table; all are in the downloads
const NAMES = { png: "PNG", raven: "Raven", audacity: "Audacity", csv: "CSV", json: "JSON" };
const SUFFIXES = { png: ".png", json: ".json", csv: ".events.csv", raven: ".selections.txt", audacity: ".audacity.txt" };
const COLUMNS = ["Play", "Start (s)", "End (s)", "Duration (s)", "Confidence, mean", "Confidence, max", "Windows", "Start, UTC"];
let settings = null; // in force, from /health
let queue = []; // recordings: waiting, working, done, failed or cancelled
let current = null; // the one that is worked on
let shown = null; // the one whose result is on the page
let soundAddress = null; // of the recording that is shown
let playing = null; // the event that is heard
let route = null; // of the sound, where one channel is heard alone

function tell(text, done = null) {
  // A screen reader hears what is new, not every number of an upload.
  const said = text.split(":")[0];
  if ($("status").dataset.said !== said) $("said").textContent = $("status").dataset.said = said;
  $("status").textContent = text;
  if (done === null) $("progress").removeAttribute("value"); else $("progress").value = done;
}

function wanted() {
  const threshold = $("threshold").value;
  return {
    config: threshold === "" ? {} : { confidence_threshold: Number(threshold) },
    timezone: $("timezone").value.trim() || "UTC",
    channel: $("channel").value,
  };
}

// Take recordings into the queue, with the options as they are now.
function add(files) {
  if (!$("form").reportValidity()) return;
  if (!current) {
    queue.length = 0;
    keepAddress();
  }
  for (const file of files) {
    queue.push({ file, name: file.name, options: wanted(), state: "waiting", job: null, requests: new Set(), cancelled: false });
  }
  run();
}

// Work through the queue, one recording at a time.
async function run() {
  if (current) return;
  if (queue.every((item) => item.state === "waiting" || item.state === "cancelled")) shown = null; // show the first that is done
  while ((current = queue.find((item) => item.state === "waiting"))) {
    const item = current;
    item.state = "working";
    $("error").hidden = true;
    if (!shown) $("result").hidden = true;
    $("work").hidden = false;
    listQueue();
    try {
      item.found = await analyse(item);
      item.state = "done";
      if (!shown) show(item);
    } catch (error) {
      if (item.state !== "cancelled") {
        item.state = "failed";
        item.words = explain(error, item.name);
        item.details = error.message;
        report(item);
      }
    }
    $("work").hidden = true;
    listQueue();
  }
}

async function analyse(item) {
  const { file } = item;
  if (item.job) return runJob(item);
  tell(`Sending ${item.name}`, 0);
  if (limits.audio_bytes !== null && file.size > limits.audio_bytes && limits.job_bytes) return runJob(item);
  try {
    return await predict(item);
  } catch (error) {
    if (error.status !== 413 || !limits.job_bytes) throw error;
    return runJob(item); // small, but too long for one call
  }
}

function cancel(item) {
  item.state = "cancelled";
  abandon(item);
  listQueue();
}

function report(item) {
  $("words").textContent = item.words;
  $("details").textContent = item.details;
  $("error").hidden = false;
}

function listQueue() {
  $("queue").hidden = queue.length < 2;
  $("queue").replaceChildren(...queue.map((item) => {
    const row = element("li", `${item.name}: ${item.state} `);
    const offer = (text, action) => {
      const button = element("button", text);
      button.type = "button";
      button.setAttribute("aria-label", `${text} ${item.name}`);
      button.onclick = action;
      row.append(button);
    };
    if (item.state === "waiting") offer("Remove", () => cancel(item));
    if (item.state === "done") offer("Show", () => show(item));
    if (item.state === "failed") offer("Why", () => report(item));
    return row;
  }));
}

// The ids of the jobs are in the address, so that a reload finds them again.
function keepAddress() {
  const kept = new URLSearchParams();
  for (const { job, name, options } of queue.filter((item) => item.job)) {
    kept.append("job", job);
    kept.append("name", name);
    kept.append("threshold", options.config.confidence_threshold ?? "");
  }
  history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
}

function takeUp() {
  const kept = new URLSearchParams(location.hash.slice(1));
  const [names, thresholds] = [kept.getAll("name"), kept.getAll("threshold")];
  queue.push(...kept.getAll("job").map((job, k) => ({
    file: null, name: names[k] || "the recording", state: "waiting", job, requests: new Set(), cancelled: false,
    options: { config: thresholds[k] ? { confidence_threshold: Number(thresholds[k]) } : {} },
  })));
  if (queue.length) run();
}

// Why there are no events: what was heard instead, and how near it came.
function explainNothing() {
  const { result, config } = shown, doubts = ["", ...(shown.doubts || [])].join(" ");
  if (!result.predictions.length) return "No part of the recording could be analysed; the notes above say why.";
  const counts = new Map();
  for (const prediction of result.predictions) counts.set(prediction.class, (counts.get(prediction.class) || 0) + 1);
  const n = result.predictions.length;
  const heard = [...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} in ${count} of ${n} windows`).join(", ");
  const target = config && config.target_class;
  if (!target || !(target in result.predictions[0].probabilities)) return `No event. The most probable sounds: ${heard}.${doubts}`;
  const best = result.predictions.reduce((a, b) => (b.probabilities[target] > a.probabilities[target] ? b : a));
  return `No event reached the threshold. The most probable sounds: ${heard}. The highest confidence of a single window was ` +
    `${best.probabilities[target].toFixed(2)}, at ${best.start_time.toFixed(1)} s; an event needs neighbouring windows that agree. ` +
    `Move the threshold down to see weaker candidates.${doubts}`;
}

function show(item) {
  const shows = showPart(item, 0);
  $("summary").focus();
  return shows;
}

// The channels of a recording, if each was analysed by itself, with the events that the slider's threshold gives.
function listChannels() {
  const { item, part } = shown, threshold = Number($("slider").value);
  $("channels").hidden = item.found.length < 2;
  if ($("channels").hidden) return;
  const labels = item.found.map(({ result }, k) => {
    const label = element("label", ""), input = element("input", "");
    Object.assign(input, { type: "radio", name: "channel", checked: k === part });
    input.onchange = () => {
      showPart(item, k, threshold);
      $("channels").querySelectorAll("input")[k].focus();
    };
    label.append(input, ` ${k + 1}: ${countEvents(decide(result, shown.config, threshold))}`);
    return label;
  });
  $("channels").replaceChildren(element("legend", "Channel"), ...labels);
}

// Show the result of a recording, or of one of its channels.
async function showPart(item, part, threshold = null) {
  const { file, name, options } = item, { result, files } = item.found[part];
  const { metadata } = result;
  const suffix = item.found.length > 1 ? `.channel${part + 1}` : "";
  const config = settings && { ...settings, ...options.config };
  const mine = shown = { ...item, item, part, suffix, result, config };
  const notes = metadata.coverage.skipped.map(
    (gap) => `Skipped ${gap.start_time.toFixed(2)} to ${gap.end_time.toFixed(2)} s: ${gap.reason}`);
  $("notes").replaceChildren(...[...metadata.warnings.map(tellWarning), ...notes].map((text) => element("li", text)));
  if (files.png) $("overview").src = new URL(files.png, base);
  else $("overview").removeAttribute("src");
  $("overview").alt = `Spectrogram of ${name} with its events above it, and the probability of a call below it`;
  view.remove();
  if (soundAddress) URL.revokeObjectURL(soundAddress);
  soundAddress = file && URL.createObjectURL(file);
  if (file) $("audio").src = soundAddress; else $("audio").removeAttribute("src");
  $("player").hidden = !file;
  $("forgotten").hidden = Boolean(file);
  hear(suffix ? part : null);
  $("unplayable").hidden = true;
  const stem = name.replace(/\.[^.]*$/, "");
  $("downloads").replaceChildren(...Object.keys(NAMES).filter((kind) => files[kind]).map((kind) => {
    const link = element("a", NAMES[kind]);
    link.href = new URL(files[kind], base);
    link.download = stem + (kind === "json" ? "" : suffix) + SUFFIXES[kind];
    return link;
  }));
  const decidable = config && result.predictions.length && config.target_class in result.predictions[0].probabilities;
  $("decision").hidden = !decidable;
  if (decidable) $("slider").value = threshold ?? config.confidence_threshold;
  decideAgain();
  $("result").hidden = false;

  const picture = $("picture"), overview = $("overview");
  $("zoom").value = 0;
  picture.hidden = false; // it must have a width to be drawn
  overview.hidden = true;
  const drawn = file && await view.draw(file, metadata, settings ? settings.fmax_hz : metadata.sample_rate / 2);
  if (mine !== shown) return;
  picture.hidden = $("zoomer").hidden = !drawn;
  overview.hidden = drawn || !files.png;
  view.mark(mine.events.slice(0, SHOWN));
  mine.doubts = drawn && config ? view.findDoubts(config) : [];
  if (!mine.events.length) $("nothing").textContent = explainNothing();
}

// Show events: the summary, the strip and the table.
function list(events) {
  const { name, result, part, suffix } = shown;
  shown.events = events;
  playing = null;
  const what = countEvents(events), where = suffix && `, channel ${part + 1}`;
  $("summary").textContent = `${name}${where}: ${what} in ${result.metadata.audio_duration.toFixed(1)} s`;
  $("clips").disabled = !events.length;
  $("nothing").hidden = events.length > 0;
  if (!events.length) $("nothing").textContent = explainNothing();
  $("scroll").hidden = !events.length;
  const rows = fill($("events"), COLUMNS, events.slice(0, SHOWN).map((event, index) => [
    playButton(`Play event ${index + 1}, from ${event.start_time} s`, event),
    event.start_time.toFixed(2), event.end_time.toFixed(2), event.duration.toFixed(2),
    event.mean_confidence.toFixed(3), event.max_confidence.toFixed(3), event.num_windows, tellTime(event),
  ]));
  rows.forEach((row, index) => { events[index].row = row; });
  listCalls(events, shown.result.events);
  $("more").textContent = events.length > SHOWN ? `… and ${events.length - SHOWN} more, in the downloads` : "";
  view.mark(events.slice(0, SHOWN));
}

// The time of day of an event; of one that the service did not decide, by those that it did.
function tellTime(event) {
  if (event.start_utc) return event.start_utc;
  const known = shown.result.events.find((other) => other.start_utc);
  if (!known) return "";
  const paused = (seconds) => (shown.result.metadata.coverage.pauses || [])
    .filter((pause) => pause.time <= seconds).reduce((sum, pause) => sum + pause.duration, seconds);
  const moved = paused(event.start_time) - paused(known.start_time);
  return new Date(Date.parse(known.start_utc) + Math.round(1000 * moved)).toISOString();
}

// A warning about settings is for the person who runs the service.
function tellWarning(text) {
  return /n_fft|target_sr|Config/.test(text)
    ? "The settings of this service do not fit the sample rate of this recording; short pulses may be missed. " +
      "Tell the person who runs the service."
    : text;
}

function countEvents(events) {
  return `${events.length} event${events.length === 1 ? "" : "s"}`;
}

// The events of a result with a threshold: those of the service, if it is the same, or if nothing can be decided here.
function decide(result, config, threshold) {
  if ($("decision").hidden || threshold === config.confidence_threshold) return result.events;
  return decideEvents(result.predictions, { ...config, confidence_threshold: threshold }, result.metadata);
}

function decideAgain() {
  const { result, config } = shown, threshold = Number($("slider").value);
  $("decided").textContent = threshold.toFixed(2);
  const events = decide(result, config, threshold);
  $("redecided").hidden = events === result.events;
  $("again").hidden = !shown.file;
  list(events);
  listChannels();
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

// Hear one channel on both ears, or all as they are. What is between the element and the ears stays, once it is made.
function hear(channel) {
  if (!route && channel === null) return;
  if (!route) {
    const context = new AudioContext();
    route = { context, source: context.createMediaElementSource($("audio")), splitter: context.createChannelSplitter(32) };
  }
  const { context, source, splitter } = route;
  source.disconnect();
  splitter.disconnect();
  source.connect(channel === null ? context.destination : splitter);
  if (channel !== null) splitter.connect(context.destination, channel);
}

async function play(event) {
  const audio = $("audio");
  stop();
  audio.currentTime = event.start_time;
  view.scrollTo(event.start_time - 1);
  try { await audio.play(); } catch { return; } // said by its error event
  playing = event;
  if (event.row) event.row.classList.add("playing");
  requestAnimationFrame(watch);
}

function stop() {
  playing = null;
  document.querySelectorAll("tr.playing").forEach((row) => row.classList.remove("playing"));
}

// At the end of the event stop, or begin again.
function watch() {
  const audio = $("audio");
  if (!playing) return;
  if (audio.currentTime >= playing.end_time || audio.ended) {
    if (!$("repeat").checked) {
      audio.pause();
      return stop();
    }
    audio.currentTime = playing.start_time;
    if (audio.paused) audio.play().catch(stop);
  } else if (audio.paused) return stop();
  requestAnimationFrame(watch);
}

const view = new Picture($("audio"), play);
$("speed").addEventListener("change", () => { $("audio").playbackRate = Number($("speed").value); });
$("audio").addEventListener("loadeddata", () => { $("audio").playbackRate = Number($("speed").value); });
$("audio").addEventListener("play", () => { if (route) route.context.resume(); }); // not before somebody asked for sound
$("zoom").addEventListener("input", () => view.zoom(Number($("zoom").value)));
$("slider").addEventListener("input", decideAgain);
$("again").addEventListener("click", () => {
  $("threshold").value = $("slider").value;
  add([shown.file]);
});
$("audio").addEventListener("error", () => { $("unplayable").hidden = false; });
$("form").addEventListener("submit", (event) => event.preventDefault());
$("file").addEventListener("change", () => {
  const files = [...$("file").files];
  $("file").value = ""; // so that the same file can be chosen again
  if (files.length) add(files);
});
$("cancel").addEventListener("click", () => { if (current) cancel(current); });
$("clips").addEventListener("click", async () => {
  const { file, name, events, result, part, suffix } = shown;
  $("unclipped").hidden = true;
  try {
    if (file.size > MOST_BYTES) throw new Error("too large");
    const link = element("a", "");
    link.href = URL.createObjectURL(await cutClips(file, events, result.metadata.sample_rate, suffix && part + 1));
    link.download = `${name.replace(/\.[^.]*$/, "")}${suffix}.clips.zip`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch { $("unclipped").hidden = false; }
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
}
document.addEventListener("drop", (event) => {
  if (event.dataTransfer.files.length) add(event.dataTransfer.files);
});
ask("GET", "health").then((health) => {
  limits = health.limits;
  settings = health.config;
  const most = limits.job_bytes || limits.audio_bytes;
  $("largest").textContent = most ? `up to ${most >= 2 ** 30 ? (most / 2 ** 30) + " GiB" : (most / 1e6) + " MB"}` : "any size";
  $("threshold").placeholder = `${health.config.confidence_threshold}`;
  if (health.model) {
    $("worth").textContent = `${health.model.name}. ${health.model.summary}`;
    $("worth").hidden = false;
  }
}).catch(() => {}).finally(takeUp);
