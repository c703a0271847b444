// The plotly.js side: which points are drawn, in which colours, with which axes and tools.

import { gradient, paletteFor, steps, lookup, fade } from "./colors.js"

const isSet = (bits, i) => !bits || (bits[i >> 3] >> (i & 7)) & 1

// Atoms that have a place and pass the filter, split by whether the colour says something about them.
export function points(columns, data) {
  const { x, y, color, visible } = columns
  const [logX, logY] = data.axes.map(axis => axis.log)
  const placed = i =>
    (logX ? x[i] > 0 : Number.isFinite(x[i])) && (logY ? y[i] > 0 : Number.isFinite(y[i]))
  const colored = []
  const rest = []
  const { log } = data.color
  const categorical = data.color.kind === "categorical"
  for (let i = 0; i < x.length; i++) {
    if (!placed(i) || !isSet(visible, i)) continue
    const has = categorical ? color[i] >= 0 : log ? color[i] > 0 : Number.isFinite(color[i])
    ;(has ? colored : rest).push(i)
  }
  return { rest: Int32Array.from(rest), colored: Int32Array.from(colored) }
}

// Colour of one atom as CSS, for what is painted over the WebGL points.
export function painter(columns, data, theme) {
  const { color } = columns
  if (data.color.kind === "categorical") {
    const hues = hueList(data, theme)
    return i => hues[color[i]] ?? theme.rest
  }
  const table = lookup(paletteFor(theme, data.color.palette))
  const [low, high] = limits(data)
  const log = data.color.log
  return i => {
    const value = log ? Math.log10(color[i]) : color[i]
    if (!Number.isFinite(value)) return theme.rest
    const at = Math.min(Math.max((value - low) / (high - low), 0), 1)
    return table[Math.round(at * (table.length - 1))]
  }
}

export function hueList(data, theme) {
  return data.color.categories.map(category => category.color || theme.text)
}

export function pointSize(count) {
  return count > 20000 ? 3.2 : count > 6000 ? 4.4 : count > 1500 ? 6 : 8
}

export function traces(columns, data, theme, split) {
  const size = pointSize(split.rest.length + split.colored.length)
  const base = {
    type: "scattergl",
    mode: "markers",
    hoverinfo: "none",
    showlegend: false,
    // A lasso must not restyle 49,152 points: what is selected is painted over them instead.
    selected: { marker: { opacity: 0.85 } },
    unselected: { marker: { opacity: 0.85 } },
  }
  return [
    {
      ...base,
      x: take(columns.x, split.rest),
      y: take(columns.y, split.rest),
      marker: { size, opacity: 0.6, color: theme.rest, line: { width: 0 } },
    },
    {
      ...base,
      x: take(columns.x, split.colored),
      y: take(columns.y, split.colored),
      marker: { size, opacity: 0.85, line: { width: 0 }, ...markerColor(columns, data, theme, split.colored) },
    },
  ]
}

function markerColor(columns, data, theme, shown) {
  const raw = take(columns.color, shown)
  if (data.color.kind === "categorical") {
    const hues = hueList(data, theme)
    return { color: raw, colorscale: steps(hues), cmin: -0.5, cmax: hues.length - 0.5, showscale: false }
  }
  const [cmin, cmax] = limits(data)
  const { log, ticks } = data.color
  return {
    color: log ? raw.map(Math.log10) : raw,
    colorscale: gradient(paletteFor(theme, data.color.palette)),
    cmin,
    cmax,
    showscale: !data.small,
    colorbar: {
      title: { text: data.color.title + (log ? " (log)" : ""), side: "top", font: { size: 12 } },
      tickvals: ticks.map(([value]) => (log ? Math.log10(value) : value)),
      ticktext: ticks.map(([, text]) => text),
      thickness: 10,
      len: 0.45,
      x: 1.01,
      xanchor: "left",
      xpad: 8,
      y: 0.02,
      yanchor: "bottom",
      outlinewidth: 0,
      ticks: "",
      bgcolor: fade(theme.background, 0.75),
      tickfont: { color: theme.text, size: 11 },
    },
  }
}

export function layout(columns, data, theme, width, height) {
  const place = data.axes[0].place
  const side = (axis, values) => ({
    range: most(values, axis.log),
    type: axis.log ? "log" : "linear",
    visible: !axis.place,
    zeroline: false,
    gridcolor: fade(theme.text, 0.09),
    linecolor: theme.border,
    tickvals: axis.ticks?.map(([value]) => value),
    ticktext: axis.ticks?.map(([, text]) => text),
    title: axis.place ? undefined : { text: axis.title + (axis.log ? " (log)" : ""), standoff: 8 },
  })
  return {
    width,
    height,
    // The right margin belongs to the tools and the colour bar: nothing may hide a point.
    margin: { l: 0, r: data.small ? 0 : data.color.kind === "categorical" ? 40 : 96, t: 0, b: 0, ...(place ? {} : { l: 64, t: 12, b: 48 }) },
    paper_bgcolor: theme.background,
    plot_bgcolor: theme.background,
    font: { family: theme.font, color: theme.text, size: 12 },
    hovermode: "closest",
    hoverdistance: 14,
    dragmode: data.small ? false : "pan",
    selectdirection: "any",
    newselection: { line: { color: theme.text, width: 1.5, dash: "dot" } },
    uirevision: data.atlas + data.axes.map(axis => axis.column), // zoom survives every change of colour or filter
    selectionrevision: 0,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: fade(theme.text, 0.55), activecolor: theme.primary, orientation: "v" },
    xaxis: side(data.axes[0], columns.x),
    yaxis: side(data.axes[1], columns.y),
  }
}

export function config(data, tools) {
  return {
    displaylogo: false,
    plotlyServerURL: "", // plotly.js 4 would offer to upload the chart
    displayModeBar: data.small ? false : true,
    scrollZoom: !data.small,
    doubleClick: data.small ? false : "reset",
    modeBarButtons: [["pan2d", "lasso2d", "select2d"], tools.zoom, tools.save],
  }
}

function limits(data) {
  const { log, low, high } = data.color
  return log ? [Math.log10(low), Math.log10(high)] : [low, high]
}

function take(column, shown) {
  const out = new Float32Array(shown.length)
  for (let k = 0; k < shown.length; k++) out[k] = column[shown[k]]
  return out
}

// Limits of an axis with a margin, in plotly's units (powers of ten on a log axis).
export function extent(values, log) {
  const [low, , , high] = landmarks(values, log)
  return widened(low, high)
}

// Where nearly all atoms are: a handful of stray ones must not press the rest into a corner. All of them are one key away.
function most(values, log) {
  const [low, first, last, high] = landmarks(values, log)
  const room = 0.15 * (last - first)
  return widened(Math.max(low, first - room), Math.min(high, last + room))
}

function landmarks(values, log) {
  const sorted = (log ? values.map(Math.log10) : values).filter(Number.isFinite).sort()
  if (!sorted.length) return [0, 0, 1, 1]
  const at = share => sorted[Math.round(share * (sorted.length - 1))]
  return [at(0), at(0.004), at(0.996), at(1)]
}

function widened(low, high) {
  const margin = (high - low) * 0.04 || 1
  return [low - margin, high + margin]
}
