const $ = (id) => document.getElementById(id);
const base = new URL(location.pathname.replace(/\/?$/, "/"), location.origin);
const SHOWN = 1000; // events in the table; all are in the downloads
const NAMES = { json: "JSON", csv: "CSV", raven: "Raven", audacity: "Audacity" };
const COLUMNS = ["Play", "Start (s)", "End (s)", "Duration (s)", "Confidence, mean", "Confidence, max", "Windows", "Start, UTC"];
const SUFFIXES = { json: ".json", csv: ".events.csv", raven: ".selections.txt", audacity: ".audacity.txt" };
let limits = { audio_bytes: 4500000, job_bytes: null };
let current = null; // what can be cancelled
let addresses = []; // of files that the page made
let settings = null; // in force, from /health
let shown = null; // the file and its result that are on the page
let playing = null; // the event that is heard

class Refused extends Error {
  constructor(status, error, message) { super(message); this.status = status; this.error = error; }
}

// One request; with XMLHttpRequest, since fetch tells nothing of an upload's progress.
function send(method, path, { body = null, type = null, progress = null } = {}) {
  const url = new URL(path, base);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    if (type) request.setRequestHeader("Content-Type", type);
    // The key is for this service, not for the store that signed addresses lead to.
    if (url.origin === base.origin && $("key").value) request.setRequestHeader("x-api-key", $("key").value);
    if (progress) request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => {
      if (request.status < 400) return resolve(request);
      let refusal = {};
      try { refusal = JSON.parse(request.responseText); } catch { /* not ours */ }
      reject(new Refused(request.status, refusal.error, refusal.message || `the service answered ${request.status}`));
    };
    request.onerror = () => reject(new Refused(0, "network", "the connection broke; check it and try again"));
    request.onabort = () => reject(new Refused(0, "cancelled", "cancelled"));
    if (current) current.requests.add(request);
    request.onloadend = () => current && current.requests.delete(request);
    request.send(body);
  });
}
const ask = async (method, path, content) => {
  const body = content === undefined ? null : JSON.stringify(content);
  return JSON.parse((await send(method, path, { body, type: body && "application/json" })).responseText);
};
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

function tell(text, done = null) {
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

// A small recording: one call.
async function predict(file) {
  const form = new FormData();
  const { config, timezone, channel } = wanted();
  form.append("config", JSON.stringify(config));
  form.append("timezone", timezone);
  form.append("channel", channel);
  form.append("files", "csv,raven,audacity,png");
  form.append("audio", file, file.name);
  const uploaded = (loaded) =>
    loaded < file.size ? tell(`Sending ${file.name}`, loaded / file.size) : tell(`Looking through ${file.name}`);
  const text = (await send("POST", "predict", { body: form, progress: uploaded })).responseText;
  const answer = JSON.parse(text);
  if (answer.result_url) return finished(await ask("GET", `jobs/${answer.job_id}`));
  const { files, ...result } = answer;
  const urls = {};
  const offer = (kind, content, type) => { urls[kind] = makeAddress(new Blob([content], { type })); };
  offer("json", JSON.stringify(result), "application/json");
  for (const [kind, content] of Object.entries(files)) {
    if (kind === "png") offer(kind, Uint8Array.from(atob(content), (c) => c.charCodeAt(0)), "image/png");
    else offer(kind, content, "text/plain");
  }
  return { result, files: urls };
}

// A large one: a job, uploaded in parts.
async function runJob(file) {
  if (file.size > limits.job_bytes) {
    throw new Refused(413, "too_large", `${file.name} is larger than ${(limits.job_bytes / 2 ** 30).toFixed(0)} GiB; ` +
      "cut it, or use the command anemone detect, which has no limit");
  }
  let job = await ask("POST", "jobs", { filename: file.name, size_bytes: file.size, ...wanted() });
  const { part_bytes, parts } = job.upload;
  const sent = [];
  for (const { number, url } of parts) {
    const from = (number - 1) * part_bytes;
    const body = file.slice(from, from + part_bytes);
    const progress = (loaded) => tell(`Sending ${file.name}`, Math.min(1, (from + loaded) / file.size));
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await send("PUT", url, { body, type: "application/octet-stream", progress });
        const etag = answer.getResponseHeader("ETag");
        if (!etag) throw new Refused(400, "no_etag", "the store does not show its ETag; its CORS rules must expose it");
        sent.push({ number, etag });
        break;
      } catch (error) {
        if (current.cancelled || attempt === 4 || (error.status >= 400 && error.status < 500)) throw error;
        await wait(2 ** attempt);
      }
    }
  }
  job = await ask("POST", `jobs/${job.job_id}/start`, { parts: sent });
  for (let pause = 0.3; job.state === "running"; pause = Math.min(5, 1.3 * pause)) {
    const { done, total } = job.chunks;
    if (!total) tell(`Opening ${file.name}`);
    else tell(`Looking through ${file.name}: ${done} of ${total} parts`, done / total);
    await wait(pause);
    if (current.cancelled) throw new Refused(0, "cancelled", "cancelled");
    job = await ask("GET", `jobs/${job.job_id}`);
  }
  if (job.state === "failed") throw new Refused(422, job.error, job.message);
  return finished(job);
}

async function finished(job) {
  tell("Fetching the result");
  return { result: await ask("GET", job.files.json), files: job.files };
}

function makeAddress(blob) {
  const url = URL.createObjectURL(blob);
  addresses.push(url);
  return url;
}

async function analyse(file) {
  if (current) cancel();
  const mine = current = { cancelled: false, requests: new Set() };
  addresses.forEach((url) => URL.revokeObjectURL(url));
  addresses = [];
  const { config } = wanted(); // now; it may be changed later
  $("result").hidden = $("error").hidden = true;
  $("work").hidden = false;
  tell(`Sending ${file.name}`, 0);
  try {
    let found;
    if (limits.audio_bytes !== null && file.size > limits.audio_bytes && limits.job_bytes) found = await runJob(file);
    else {
      try {
        found = await predict(file);
      } catch (error) {
        if (error.status !== 413 || !limits.job_bytes) throw error;
        found = await runJob(file); // small, but too long for one call
      }
    }
    if (mine === current) {
      const threshold = config.confidence_threshold;
      show(file, { ...found, threshold });
    }
  } catch (error) {
    if (mine !== current || error.error === "cancelled") return;
    const hint = [401, 403].includes(error.status) && error.error !== "forbidden_bucket"
      ? " Is the API key right? It is under Options." : "";
    $("error").textContent = `${error.message}${hint}`;
    $("error").hidden = false;
  } finally {
    if (mine === current) {
      current = null;
      $("work").hidden = true;
    }
  }
}

function cancel() {
  const mine = current;
  current = null;
  mine.cancelled = true;
  mine.requests.forEach((request) => request.abort());
  $("work").hidden = true;
}

async function show(file, { result, files, threshold }) {
  const { events, metadata } = result;
  const config = settings && { ...settings, confidence_threshold: threshold ?? settings.confidence_threshold };
  const mine = shown = { file, result, config };
  const notes = metadata.coverage.skipped.map(
    (gap) => `Skipped ${gap.start_time.toFixed(2)} to ${gap.end_time.toFixed(2)} s: ${gap.reason}`);
  $("notes").replaceChildren(...[...metadata.warnings, ...notes].map((text) => element("li", text)));
  if (files.png) $("overview").src = new URL(files.png, base);
  $("overview").alt = `Spectrogram of ${file.name} with its events above it, and the probability of a call below it`;
  $("audio").src = makeAddress(file);
  $("unplayable").hidden = true;
  const stem = file.name.replace(/\.[^.]*$/, "");
  $("downloads").replaceChildren(...Object.keys(NAMES).filter((kind) => files[kind]).map((kind) => {
    const link = element("a", NAMES[kind]);
    link.href = new URL(files[kind], base);
    link.download = stem + SUFFIXES[kind];
    return link;
  }));
  const decidable = config && result.predictions.length && config.target_class in result.predictions[0].probabilities;
  $("decision").hidden = !decidable;
  if (decidable) {
    $("slider").value = config.confidence_threshold;
    $("decided").textContent = config.confidence_threshold.toFixed(2);
  }
  $("redecided").hidden = true;
  list(events);
  $("result").hidden = false;
  $("summary").focus();

  const picture = $("picture"), overview = $("overview");
  $("zoom").value = 0;
  picture.hidden = false; // it must have a width to be drawn
  overview.hidden = true;
  const drawn = await view.draw(file, metadata, settings ? settings.fmax_hz : metadata.sample_rate / 2);
  if (mine !== shown) return;
  picture.hidden = $("zoomer").hidden = !drawn;
  overview.hidden = drawn || !files.png;
  view.mark(mine.events.slice(0, SHOWN));
}

// Show events: the summary, the strip and the table.
function list(events) {
  const { file, result } = shown;
  shown.events = events;
  playing = null;
  const what = `${events.length} event${events.length === 1 ? "" : "s"}`;
  $("summary").textContent = `${file.name}: ${what} in ${result.metadata.audio_duration.toFixed(1)} s`;
  $("events").replaceChildren(...events.slice(0, SHOWN).map((event, index) => {
    const row = document.createElement("tr");
    const button = element("button", "▶");
    button.type = "button";
    button.setAttribute("aria-label", `Play event ${index + 1}, from ${event.start_time} s`);
    button.onclick = () => play(event);
    row.append(element("td", ""), ...[
      event.start_time.toFixed(2), event.end_time.toFixed(2), event.duration.toFixed(2),
      event.mean_confidence.toFixed(3), event.max_confidence.toFixed(3), event.num_windows, tellTime(event),
    ].map((text) => element("td", text)));
    row.querySelectorAll("td").forEach((cell, column) => { cell.dataset.name = COLUMNS[column]; });
    row.firstChild.append(button);
    event.row = row;
    return row;
  }));
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

function decideAgain() {
  const { result, config } = shown;
  const threshold = Number($("slider").value);
  $("decided").textContent = threshold.toFixed(2);
  const same = threshold === config.confidence_threshold;
  $("redecided").hidden = same;
  list(same ? result.events
    : decideEvents(result.predictions, { ...config, confidence_threshold: threshold }, result.metadata));
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
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
$("zoom").addEventListener("input", () => view.zoom(Number($("zoom").value)));
$("slider").addEventListener("input", decideAgain);
$("again").addEventListener("click", () => {
  $("threshold").value = $("slider").value;
  analyse(shown.file);
});
$("audio").addEventListener("error", () => { $("unplayable").hidden = false; });
$("form").addEventListener("submit", (event) => event.preventDefault());
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = ""; // so that the same file can be chosen again
  if (file) analyse(file);
});
$("cancel").addEventListener("click", cancel);
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
}
document.addEventListener("drop", (event) => {
  const [file] = event.dataTransfer.files;
  if (file) analyse(file);
});
ask("GET", "health").then((health) => {
  limits = health.limits;
  settings = health.config;
  const most = limits.job_bytes || limits.audio_bytes;
  $("largest").textContent = most ? `up to ${most >= 2 ** 30 ? (most / 2 ** 30) + " GiB" : (most / 1e6) + " MB"}` : "any size";
  $("threshold").placeholder = `${health.config.confidence_threshold}`;
}).catch(() => {});
