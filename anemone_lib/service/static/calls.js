"use strict";
// The calls inside the events, as the service measured them.
const CALL_COLUMNS = ["Play", "Event", "Start (s)", "Duration (ms)", "Pulses", "Period (ms)", "Peak (Hz)", "Band (Hz)", "Signal to noise (dB)"];

// The calls in events; in those of another threshold, what was measured at the threshold of the analysis.
function listCalls(events, measured) {
  if (!measured.some((event) => event.calls)) {
    $("measures").hidden = true;
    return;
  }
  const known = measured.flatMap((event) => event.calls || []);
  const rows = events.flatMap((event, index) => known
    .filter((call) => call.start_time < event.end_time && call.end_time > event.start_time)
    .map((call) => ({ call, event: index + 1 })));
  $("measures").hidden = !events.length;
  $("counted").textContent = `${rows.length} call${rows.length === 1 ? "" : "s"} inside the events`;
  fill($("calls"), CALL_COLUMNS, rows.slice(0, SHOWN).map(({ call, event }) => [
    playButton(`Play the call at ${call.start_time.toFixed(2)} s`, call),
    event, call.start_time.toFixed(3), (1000 * (call.end_time - call.start_time)).toFixed(0), call.n_pulses,
    call.pulse_period_s === null ? "one pulse" : (1000 * call.pulse_period_s).toFixed(1), call.peak_hz.toFixed(0),
    `${call.low_hz.toFixed(0)} to ${call.high_hz.toFixed(0)}`, call.snr_db.toFixed(1),
  ]));
  $("morecalls").textContent = rows.length > SHOWN ? `… and ${rows.length - SHOWN} more, in the downloads` : "";
}

// Fill the body of a table; a cell is a text, a number or an element.
function fill(body, columns, rows) {
  const made = rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((content, column) => {
      const cell = document.createElement("td");
      cell.append(content);
      cell.dataset.name = columns[column];
      return cell;
    }));
    return row;
  });
  body.replaceChildren(...made);
  return made;
}

// A button that plays a stretch, and marks its row.
function playButton(label, stretch) {
  const button = element("button", "▶");
  button.type = "button";
  button.setAttribute("aria-label", label);
  button.onclick = () => play({ ...stretch, row: button.closest("tr") });
  return button;
}
