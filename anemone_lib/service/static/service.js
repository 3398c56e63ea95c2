"use strict";
// Calls of the service: one call for a small recording, a job with an upload in parts for a large one.
const $ = (id) => document.getElementById(id);
const base = new URL(location.pathname.replace(/\/?$/, "/"), location.origin);
const TRIES = 4; // of one part of an upload
let limits = { audio_bytes: 4500000, job_bytes: null };

class Refused extends Error {
  constructor(status, error, message) { super(message); this.status = status; this.error = error; }
}

// One request; with XMLHttpRequest, since fetch tells nothing of an upload's progress.
function send(method, path, { item = null, body = null, type = null, progress = null } = {}) {
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
    request.onerror = () => reject(new Refused(0, "network", "the connection broke"));
    request.onabort = () => reject(new Refused(0, "cancelled", "cancelled"));
    if (item) item.requests.add(request);
    request.onloadend = () => item && item.requests.delete(request);
    request.send(body);
  });
}
async function ask(method, path, content, item = null) {
  const body = content === undefined ? null : JSON.stringify(content);
  return JSON.parse((await send(method, path, { item, body, type: body && "application/json" })).responseText);
}
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

function tellSize(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e5 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

function tellSeconds(seconds) {
  return seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.max(1, Math.round(seconds))} s`;
}

// Tell how an upload goes: size, speed, time left.
function follow({ name, file }) {
  const began = performance.now();
  return (loaded) => {
    if (loaded >= file.size) return tell(`Analysing ${name}`);
    const seconds = (performance.now() - began) / 1000, speed = loaded / seconds;
    const rest = seconds > 0.5 && speed ? `, ${tellSize(speed)} a second, ${tellSeconds((file.size - loaded) / speed)} left` : "";
    tell(`Sending ${name}: ${tellSize(loaded)} of ${tellSize(file.size)}${rest}`, loaded / file.size);
  };
}

// A small recording: one call.
async function predict(item) {
  const { file, options } = item;
  const form = new FormData();
  form.append("config", JSON.stringify(options.config));
  form.append("timezone", options.timezone);
  form.append("channel", options.channel);
  form.append("files", "csv,raven,audacity,png");
  form.append("audio", file, file.name);
  const text = (await send("POST", "predict", { item, body: form, progress: follow(item) })).responseText;
  const answer = JSON.parse(text);
  if (answer.result_url) return fetchResult(await ask("GET", `jobs/${answer.job_id}`, undefined, item), item);
  const parts = (answer.channels || [answer]).map(({ files, ...result }) => ({ result, files }));
  const whole = answer.channels ? { channels: parts.map(({ result }) => result) } : parts[0].result;
  const json = URL.createObjectURL(new Blob([JSON.stringify(whole)], { type: "application/json" }));
  return parts.map(({ result, files }) => {
    const urls = Object.entries(files).map(([kind, content]) => [kind, URL.createObjectURL(makeBlob(kind, content))]);
    return { result, files: { json, ...Object.fromEntries(urls) } };
  });
}

function makeBlob(kind, content) {
  if (kind !== "png") return new Blob([content], { type: "text/plain" });
  return new Blob([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], { type: "image/png" });
}

// The result of a job, and the addresses of its files: one of the recording, or one of each of its channels.
async function fetchResult({ files }, item) {
  tell("Fetching the result");
  const result = await ask("GET", files.json, undefined, item);
  if (!result.channels) return [{ result, files }];
  return result.channels.map((own, k) => {
    const part = `.channel${k + 1}`;
    const mine = Object.keys(files).filter((name) => name.endsWith(part));
    return { result: own, files: { json: files.json, ...Object.fromEntries(mine.map((name) => [name.slice(0, -part.length), files[name]])) } };
  });
}

// A large one: a job, uploaded in parts. A job that is known by its id is taken up where it is.
async function runJob(item) {
  let job;
  if (item.job) job = await lookAt(item);
  else {
    if (item.file.size > limits.job_bytes) throw new Refused(413, "too_large", `more than ${tellSize(limits.job_bytes)}`);
    job = await ask("POST", "jobs", { filename: item.name, size_bytes: item.file.size, ...item.options }, item);
    item.job = job.job_id;
    keepAddress();
    const parts = await upload(item, job.upload);
    job = await ask("POST", `jobs/${item.job}/start`, { parts }, item);
  }
  for (let pause = 0.1; job.state === "running"; pause = Math.min(5, 1.2 * pause)) {
    const { done, total } = job.chunks;
    if (!total) tell(`Opening ${item.name}`);
    else tell(`Analysing ${item.name}: ${done} of ${total} parts`, done / total);
    await wait(pause);
    job = await lookAt(item);
  }
  if (job.state === "uploading") throw new Refused(0, "interrupted", "the upload was interrupted");
  if (job.state === "failed") throw new Refused(job.error === "bad_setting" ? 422 : 500, job.error, job.message);
  return fetchResult(job, item);
}

// The state of a job; a lost connection is waited for.
async function lookAt(item) {
  for (let pause = 1; ; pause = Math.min(15, 1.5 * pause)) {
    if (item.cancelled) throw new Refused(0, "cancelled", "cancelled");
    try {
      return await ask("GET", `jobs/${encodeURIComponent(item.job)}`, undefined, item);
    } catch (error) {
      if (error.error !== "network" && error.status < 500) throw error;
      tell(`No connection to the service. The work on ${item.name} goes on there; this page tries again.`);
      await wait(pause);
    }
  }
}

async function upload(item, { part_bytes: size, parts }) {
  const sent = [], tellProgress = follow(item);
  for (const { number, url } of parts) {
    const from = (number - 1) * size, body = item.file.slice(from, from + size);
    const progress = (loaded) => tellProgress(Math.min(item.file.size, from + loaded));
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await send("PUT", url, { item, body, type: "application/octet-stream", progress });
        const etag = answer.getResponseHeader("ETag");
        if (!etag) throw new Refused(400, "no_etag", "the store does not show its ETag; its CORS rules must expose it");
        sent.push({ number, etag });
        break;
      } catch (error) {
        if (item.cancelled || attempt === TRIES || (error.status >= 400 && error.status < 500)) throw error;
        tell(`The connection is lost; the upload of ${item.name} goes on when it is back.`);
        await wait(2 ** attempt);
      }
    }
  }
  return sent;
}

// Stop the work on a recording, here and in the service.
function abandon(item) {
  item.cancelled = true;
  item.requests.forEach((request) => request.abort());
  if (item.job) send("DELETE", `jobs/${encodeURIComponent(item.job)}`).catch(() => {}); // it expires by itself
  item.job = null;
  keepAddress();
}

// What went wrong, and what to do, in words for people.
function explain({ status, error }, name) {
  const operator = "If it happens again, tell the person who runs this service.";
  const words = {
    undecodable_audio: `${name} cannot be read as a recording: it may be damaged, or contain no sound. Play it with another program; ` +
      "if that works, save it as WAV or FLAC and choose it again.",
    too_large: `${name} is too large for this service. Cut it into shorter recordings.`,
    too_long: `${name} is too long for this service. Cut it into shorter recordings.`,
    job_failed: `The analysis of ${name} failed. Choose it again. ${operator}`,
    interrupted: `The upload of ${name} was interrupted. Choose the recording again to send it.`,
    upload_incomplete: `${name} did not arrive whole. Choose it again to send it.`,
    no_such_job: "This result does not exist, or it was removed: results are kept for a limited time. Choose the recording again.",
    busy: "The service has too much to do. Wait a minute, then choose the recording again.",
    disk_full: "The service has no room left on its disk. Tell the person who runs it, then choose the recording again.",
    network: "There is no connection to the service. Check the network, then choose the recording again.",
    too_slow: `${name} arrives too slowly. Check the network, then choose the recording again.`,
    foreign_origin: "The service does not take calls from this page. Open its own page, or tell the person who runs it.",
  };
  if ([401, 403].includes(status) && !["forbidden_bucket", "foreign_origin"].includes(error)) {
    return "The service did not let you in. Is the API key right? It is under Options.";
  }
  if (error in words) return words[error];
  if (status === 400 || status === 422) {
    return "An option is not valid. Check the threshold (0 to 1), the time zone (like Asia/Tokyo or +09:00) and the channel, " +
      "then choose the recording again.";
  }
  return `The service has a fault. Choose the recording again in a few minutes. ${operator}`;
}
