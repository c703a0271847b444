// What is painted over the WebGL points: selection, search matches, the ring around one atom, names of clusters.
// Moving a ring costs a few microseconds here; asking plotly.js to restyle its points would cost a third of a second.

import { fade } from "./colors.js"

const SVG = "http://www.w3.org/2000/svg"

export class Overlay {
  constructor(canvas, svg) {
    this.canvas = canvas
    this.svg = svg
    this.state = null
  }

  // state: {graph, columns, axes, theme, paint, size, clusters, selection, matches, marked, lit, focus, hover, visible}
  draw(state = this.state) {
    this.state = state
    if (!state?.graph?._fullLayout) return
    this.frame()
    this.paintPoints()
    this.writeNames()
    this.ring()
  }

  // Places of atoms in pixels, from the axes as they are now: also in the middle of a drag or a wheel zoom.
  frame() {
    const { xaxis, yaxis, width, height } = this.state.graph._fullLayout
    const [logX, logY] = this.state.axes.map(axis => axis.log)
    const { x, y } = this.state.columns
    const scale = (axis, flip) => {
      const [low, high] = axis.range
      const per = axis._length / (high - low)
      return flip ? value => axis._offset + axis._length - (value - low) * per : value => axis._offset + (value - low) * per
    }
    this.box = { left: xaxis._offset, top: yaxis._offset, width: xaxis._length, height: yaxis._length }
    this.across = scale(xaxis, false)
    this.down = scale(yaxis, true)
    this.placeOf = i => [this.across(logX ? Math.log10(x[i]) : x[i]), this.down(logY ? Math.log10(y[i]) : y[i])]
    const ratio = window.devicePixelRatio || 1
    if (this.canvas.width !== width * ratio || this.canvas.height !== height * ratio) {
      this.canvas.width = width * ratio
      this.canvas.height = height * ratio
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    }
    this.pen = this.canvas.getContext("2d")
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0)
    this.pen.clearRect(0, 0, width, height)
  }

  inside([across, down], margin = 0) {
    const { left, top, width, height } = this.box
    return across >= left - margin && across <= left + width + margin && down >= top - margin && down <= top + height + margin
  }

  paintPoints() {
    const { selection, matches, marked, lit, theme, size, paint } = this.state
    if (!selection.length && !matches.length && !marked.length && !lit) return
    const { pen, box } = this
    pen.save()
    pen.beginPath()
    pen.rect(box.left, box.top, box.width, box.height)
    pen.clip()
    pen.fillStyle = fade(theme.background, 0.72)
    pen.fillRect(box.left, box.top, box.width, box.height)
    if (lit) this.dots(lit, size / 2 + 0.3, paint)
    this.dots(selection, size / 2 + 1, paint)
    this.dots(matches, size / 2 + 1.2, paint, theme.text, 1)
    this.dots(marked, size / 2 + 3, paint, theme.text, 2)
    pen.restore()
  }

  dots(atoms, radius, paint, stroke = null, width = 0) {
    const { pen } = this
    for (const atom of atoms) {
      const place = this.placeOf(atom)
      if (!this.inside(place, radius)) continue
      pen.fillStyle = paint(atom)
      pen.beginPath()
      pen.arc(place[0], place[1], radius, 0, 2 * Math.PI)
      pen.fill()
      if (!stroke) continue
      pen.strokeStyle = stroke
      pen.lineWidth = width
      pen.stroke()
    }
  }

  // Names of clusters, largest first, each only where it covers no other: zooming in makes room for more.
  writeNames() {
    this.svg.replaceChildren()
    const { clusters, theme } = this.state
    const taken = []
    for (const { label, size, x, y } of clusters) {
      const place = [this.across(x), this.down(y)]
      if (!label || !this.inside(place)) continue
      const font = Math.min(11 + Math.log10(Math.max(size, 1)) * 1.6, 17)
      const half = [label.length * font * 0.29 + 6, font * 0.75 + 3]
      const fits = taken.every(
        other => Math.abs(other.x - place[0]) > other.half[0] + half[0] || Math.abs(other.y - place[1]) > other.half[1] + half[1],
      )
      const within = place[0] - half[0] > this.box.left && place[0] + half[0] < this.box.left + this.box.width
      if (!fits || !within) continue
      taken.push({ x: place[0], y: place[1], half })
      const text = document.createElementNS(SVG, "text")
      const attributes = {
        x: place[0].toFixed(1), y: place[1].toFixed(1), "text-anchor": "middle", "dominant-baseline": "middle",
        "font-family": theme.font, "font-size": font.toFixed(1), "font-weight": 600, fill: theme.text,
        stroke: theme.background, "stroke-width": 4, "stroke-opacity": 0.85, "stroke-linejoin": "round", "paint-order": "stroke",
      }
      for (const [name, value] of Object.entries(attributes)) text.setAttribute(name, value)
      text.textContent = label
      this.svg.append(text)
    }
    this.svg.dataset.names = taken.length
  }

  ring() {
    const { focus, hover, theme } = this.state
    if (hover !== null) this.circle(hover, 7, theme.text, 1.5)
    if (focus === null) return
    this.circle(focus, 11, theme.background, 5)
    this.circle(focus, 11, theme.ring, 3)
    this.circle(focus, 2.5, theme.ring, 3)
  }

  circle(atom, radius, stroke, width) {
    const place = this.placeOf(atom)
    if (!Number.isFinite(place[0] + place[1]) || !this.inside(place, radius)) return
    const circle = document.createElementNS(SVG, "circle")
    const attributes = { cx: place[0].toFixed(1), cy: place[1].toFixed(1), r: radius, fill: "none", stroke, "stroke-width": width }
    for (const [name, value] of Object.entries(attributes)) circle.setAttribute(name, value)
    this.svg.append(circle)
  }
}
