// Draws the plots of a page from the numbers embedded in it; draws again when the colour scheme changes.
"use strict";

(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: true, showTips: false };

  const scheme = () => (dark.matches ? "dark" : "light");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const series = (index) => colour(`--series-${(index % 6) + 1}`);

  const faded = (hex, share) => {
    const part = (at) => parseInt(hex.slice(at, at + 2), 16);
    return `rgba(${part(1)}, ${part(3)}, ${part(5)}, ${share})`;
  };

  const short = (value) => (value === null ? "–" : Number(value.toPrecision(4)).toString());
  const day = (text) => text.slice(0, 10);

  const layout = (extra) => ({
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--muted") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 52, r: 12, t: 28, b: 44 },
    hovermode: "closest",
    hoverlabel: {
      bgcolor: colour("--surface"),
      bordercolor: colour("--line"),
      font: { family: getComputedStyle(document.body).fontFamily, color: colour("--text"), size: 12 },
      align: "left",
    },
    legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
    ...extra,
    xaxis: { type: "date", showgrid: false, linecolor: colour("--line"), ticks: "outside", tickcolor: colour("--line"), tickangle: 0, nticks: Math.max(3, Math.floor(document.body.clientWidth / 120)) },
    yaxis: { gridcolor: colour("--line"), zeroline: false, automargin: true, ...extra.yaxis },
  });

  const marks = (found) => ({
    shapes: found.map((mark) => ({
      type: "line", xref: "x", yref: "paper", x0: mark.at, x1: mark.at, y0: 0, y1: 1,
      line: { color: colour("--muted"), width: 1 }, layer: "below",
    })),
    annotations: found.map((mark) => ({
      x: mark.at, xref: "x", y: 1, yref: "paper", text: mark.name, showarrow: false,
      xanchor: "left", yanchor: "top", xshift: 4, font: { size: 11, color: colour("--muted") },
    })),
  });

  const level = (value, text) => ({
    shape: {
      type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: value, y1: value,
      line: { color: colour("--bad"), width: 1, dash: "dash" },
    },
    annotation: {
      x: 0, xref: "paper", y: value, yref: "y", text, showarrow: false,
      xanchor: "left", yanchor: "bottom", xshift: 4, font: { size: 11, color: colour("--bad") },
    },
  });

  // Mean loss per window with its band, a line per release, and the release's own test loss dashed.
  const performance = (data) => {
    const traces = [];
    data.series.forEach((one, index) => {
      const line = series(index);
      const banded = one.window_start.map((_, at) => at).filter((at) => one.low[at] !== null);
      if (banded.length > 1) {
        const back = [...banded].reverse();
        traces.push({
          x: [...banded, ...back].map((at) => one.window_start[at]),
          y: [...banded.map((at) => one.high[at]), ...back.map((at) => one.low[at])],
          type: "scatter", mode: "lines", fill: "toself", fillcolor: faded(line, 0.16),
          line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: one.name,
        });
      }
      const starts = [...one.window_start, ...one.estimated.window_start].sort();
      const ends = [...one.window_end, ...one.estimated.window_end].sort();
      if (one.reference !== null) {
        traces.push({
          x: [starts[0], ends[ends.length - 1]],
          y: [one.reference, one.reference],
          type: "scatter", mode: "lines", line: { color: line, width: 1, dash: "dot" },
          hovertemplate: `${one.name} on its test rows: ${short(one.reference)}<extra></extra>`,
          showlegend: false, legendgroup: one.name,
        });
      }
      const guess = one.estimated;
      if (guess.value.length) {
        traces.push({
          x: guess.window_start, y: guess.value, legendgroup: one.name, showlegend: one.value.length === 0,
          name: one.value.length ? `${one.name}, estimated` : one.name,
          type: "scatter", mode: guess.value.length > 80 ? "lines" : "lines+markers",
          line: { color: line, width: 1, dash: "dash" },
          marker: { size: 6, color: line, symbol: "circle-open" },
          text: guess.window_start.map((start, at) =>
            `${one.name}, estimated without labels<br>${day(start)} to ${day(guess.window_end[at])}` +
            `<br>${data.metric} ${short(guess.value[at])} (${short(guess.low[at])} to ${short(guess.high[at])})` +
            `<br>${guess.n_rows[at].toLocaleString("en")} rows`),
          hovertemplate: "%{text}<extra></extra>",
        });
      }
      if (one.value.length) traces.push({
        x: one.window_start, y: one.value, name: one.name, legendgroup: one.name,
        type: "scatter", mode: one.value.length > 80 ? "lines" : "lines+markers",
        line: { color: line, width: 2 }, marker: { size: 5, color: line },
        text: one.window_start.map((start, at) =>
          `${one.name}<br>${day(start)} to ${day(one.window_end[at])}` +
          `<br>${data.metric} ${short(one.value[at])}` +
          (one.low[at] === null ? "" : ` (${short(one.low[at])} to ${short(one.high[at])})`) +
          `<br>${one.n_rows[at].toLocaleString("en")} labels`),
        hovertemplate: "%{text}<extra></extra>",
      });
    });
    const drawn = marks(data.marks);
    const known = data.series.flatMap((one) => [...one.value, ...one.high, ...one.estimated.value]).filter((value) => value !== null);
    if (data.limit !== null && data.limit <= 1.15 * Math.max(...known)) {
      const limit = level(data.limit, `limit ${short(data.limit)}`);
      drawn.shapes.push(limit.shape);
      drawn.annotations.push(limit.annotation);
    }
    return { traces, layout: layout({ ...drawn, showlegend: data.series.length > 1, yaxis: { title: { text: data.metric.replaceAll("_", " ") } } }) };
  };

  // Shift per window: the features that went beyond the threshold by name, all others in the background.
  const drift = (data) => {
    const named = data.lines.filter((line) => line.named);
    const traces = [...data.lines].reverse().map((line) => {
      const index = named.indexOf(line);
      const shade = index < 0 ? faded(colour("--series-6"), 0.45) : series(index);
      return {
        x: line.window_start, y: line.shift, name: line.feature, showlegend: index >= 0, legendrank: index,
        type: "scatter", mode: "lines", connectgaps: false,
        line: { color: shade, width: index < 0 ? 1 : 2 },
        text: line.window_start.map((start, at) =>
          `${line.feature}<br>${day(start)} to ${day(line.window_end[at])}<br>${short(line.shift[at])} standard deviations`),
        hovertemplate: "%{text}<extra></extra>",
      };
    });
    const drawn = marks(data.marks);
    const limit = level(data.threshold, `reported from ${short(data.threshold)}`);
    drawn.shapes.push(limit.shape);
    drawn.annotations.push(limit.annotation);
    // A large shift must not hide where the threshold is: then each step of the axis is a factor of ten.
    const wide = data.lines.length > 0 && data.lines[0].peak > 10 * data.threshold;
    if (wide) {
      traces.forEach((trace) => { trace.y = trace.y.map((value) => (value === null ? null : Math.max(value, 0.001))); });
      drawn.annotations[drawn.annotations.length - 1].y = Math.log10(data.threshold);
    }
    const axis = wide ? { type: "log", dtick: 1, title: { text: "standard deviations, log scale" } } : { title: { text: "standard deviations" }, rangemode: "tozero" };
    return { traces, layout: layout({ ...drawn, showlegend: named.length > 0, yaxis: axis }) };
  };

  // Calls by hour, the same hours of the day and of the week before behind them, and marks where they deviated.
  const calls = (data) => {
    const words = (at) => `${data.hour[at].slice(0, 16).replace("T", " ")} UTC`;
    const count = (value) => (value === null ? "–" : value.toLocaleString("en"));
    const behind = (name, values, dash) => ({
      x: data.hour, y: values, name, type: "scatter", mode: "lines", connectgaps: false,
      line: { color: faded(colour("--series-6"), 0.7), width: 1, dash }, hoverinfo: "skip",
    });
    const odd = data.hour.map((_, at) => at).filter((at) => data.deviating[at]);
    const traces = [
      behind("week before", data.week_before, "dot"),
      behind("day before", data.day_before, "dash"),
      {
        x: data.hour, y: data.calls, name: "calls", type: "scatter", mode: "lines",
        line: { color: series(0), width: 2 },
        text: data.hour.map((_, at) =>
          `${words(at)}<br>${count(data.calls[at])} calls<br>day before ${count(data.day_before[at])}` +
          `<br>week before ${count(data.week_before[at])}`),
        hovertemplate: "%{text}<extra></extra>",
      },
      {
        x: odd.map((at) => data.hour[at]), y: odd.map((at) => data.calls[at]), name: "deviates",
        type: "scatter", mode: "markers", marker: { color: colour("--bad"), size: 6 }, hoverinfo: "skip",
      },
    ];
    return { traces, layout: layout({ yaxis: { title: { text: "calls an hour" }, rangemode: "tozero" } }) };
  };

  const minute = (text) => `${text.slice(0, 16).replace("T", " ")} UTC`;

  // The candidate's share of the traffic: flat from each step to the next.
  const shares = (data) => ({
    traces: [{
      x: data.at, y: data.share, type: "scatter", mode: "lines+markers", fill: "tozeroy", fillcolor: faded(series(0), 0.16),
      line: { color: series(0), width: 2, shape: "hv" }, marker: { size: 5, color: series(0) },
      text: data.at.map((at, index) => `${minute(at)}<br>${data.share[index]} %`),
      hovertemplate: "%{text}<extra></extra>",
    }],
    layout: layout({ showlegend: false, yaxis: { range: [0, 105], ticksuffix: " %", title: { text: "share" } } }),
  });

  // The difference in loss at each look, the band that holds at all of them, and how much is allowed.
  const sequence = (data) => {
    const back = data.at.map((_, at) => at).reverse();
    const traces = [
      {
        x: [...data.at, ...back.map((at) => data.at[at])], y: [...data.high, ...back.map((at) => data.low[at])],
        type: "scatter", mode: "lines", fill: "toself", fillcolor: faded(series(0), 0.16),
        line: { width: 0 }, hoverinfo: "skip", showlegend: false,
      },
      {
        x: data.at, y: data.allowed, name: "margin", type: "scatter", mode: "lines",
        line: { color: colour("--bad"), width: 1, dash: "dash" }, hoverinfo: "skip",
      },
      {
        x: data.at, y: data.difference, name: "difference", type: "scatter",
        mode: data.at.length > 80 ? "lines" : "lines+markers",
        line: { color: series(0), width: 2 }, marker: { size: 5, color: series(0) },
        text: data.at.map((at, index) =>
          `look ${data.look[index].toLocaleString("en")}, ${minute(at)}<br>difference ${short(data.difference[index])}` +
          ` (${short(data.low[index])} to ${short(data.high[index])})<br>margin ${short(data.allowed[index])}` +
          `<br>${data.n_labels[index].toLocaleString("en")} labels`),
        hovertemplate: "%{text}<extra></extra>",
      },
    ];
    return { traces, layout: layout({ ...marks(data.marks), yaxis: { title: { text: "difference in loss" }, zeroline: true, zerolinecolor: colour("--muted") } }) };
  };

  const kinds = { performance, drift, calls, shares, sequence };

  const draw = () => {
    document.querySelectorAll("[data-plot]").forEach((place) => {
      const source = document.querySelector(`script[data-for="${place.dataset.plot}"]`);
      if (typeof Plotly === "undefined") {
        place.classList.add("failed");
        place.textContent = "The plot's script did not load. The numbers are in the CSV.";
        return;
      }
      if (place.dataset.drawn === scheme()) return;
      place.dataset.drawn = scheme();
      const { traces, layout: arranged } = kinds[place.dataset.plot](JSON.parse(source.textContent));
      Plotly.react(place, traces, arranged, config);
    });
  };

  draw();
  document.addEventListener("headrace:updated", draw);
  dark.addEventListener("change", draw);
})();
