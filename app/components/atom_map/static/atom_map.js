// The atom map: one instance a mount, updated in place whenever the page sends another view.

import * as fetchData from "./data.js"
import { Card } from "./card.js"
import { themeOf } from "./colors.js"
import * as figure from "./figure.js"
import { onKey } from "./keyboard.js"
import { Overlay } from "./overlay.js"
import { savePicture } from "./picture.js"

const NONE = new Uint32Array()
const maps = new WeakMap()
let mounts = 0

export function render(component) {
  const host = component.parentElement
  if (!maps.has(host)) maps.set(host, new AtomMap(host, component.data))
  return maps.get(host).update(component)
}

export function destroy(host) {
  maps.get(host)?.destroy()
  maps.delete(host)
}

class AtomMap {
  constructor(host, data) {
    this.root = document.createElement("div")
    this.root.className = "atom-map"
    this.root.map = this // for the console, and for tests that ask where an atom is drawn
    this.root.tabIndex = 0
    this.root.setAttribute("role", "application")
    this.root.setAttribute("aria-roledescription", "map of atoms")
    this.root.dataset.mount = ++mounts
    this.root.dataset.state = "loading"
    this.root.innerHTML = `
      <div class="stage"><div class="plot"></div><canvas class="paint" aria-hidden="true"></canvas>
        <svg class="paint" aria-hidden="true"></svg><div class="middle" aria-hidden="true"></div></div>
      <ul class="legend" aria-label="categories"></ul>
      <p class="status" aria-live="polite"></p><aside class="card" hidden></aside><div class="wait"></div>`
    const style = document.createElement("link")
    style.rel = "stylesheet"
    style.href = `${data.static}/atom_map.css`
    host.append(style, this.root)
    this.part = name => this.root.querySelector(name)
    this.graph = this.part(".plot")
    this.overlay = new Overlay(this.part("canvas"), this.part("svg"))
    this.card = new Card(this.part(".card"), this.root)
    this.hover = this.lit = null
    this.drawn = ""
    this.turn = 0
    this.work = Promise.resolve()
    this.root.addEventListener("keydown", event => onKey(event, this))
    this.root.addEventListener("pointerleave", () => this.unhover())
    this.nearView = untilNear(this.root)
    this.resizing = new ResizeObserver(() => this.resize())
    this.resizing.observe(this.root)
  }

  // Views are applied one after another, and one that a newer view has overtaken is skipped.
  update({ data, setTriggerValue }) {
    const turn = ++this.turn
    this.send = setTriggerValue
    this.root.style.height = `${data.height}px`
    this.root.classList.toggle("small", data.small)
    this.root.classList.toggle("axes", !data.axes[0].place)
    this.root.setAttribute("aria-label", data.alt || `Map of ${data.atoms} atoms`)
    if (!this.drawn) this.part(".wait").textContent = `Loading ${data.atoms.toLocaleString("en")} atoms …`
    this.work = this.work.then(() => this.apply(data, turn))
    return this.work
  }

  async apply(data, turn) {
    const overtaken = () => turn !== this.turn
    try {
      await this.nearView
      if (overtaken()) return
      const loaded = await this.load(data)
      if (overtaken()) return
      const before = this.data
      Object.assign(this, loaded, { data })
      await this.draw()
      if (data.focus !== before?.focus) this.keepInView(data.focus)
      this.root.dataset.state = "ready"
      this.part(".wait").textContent = ""
    } catch (error) {
      if (overtaken()) return
      this.root.dataset.state = "failed"
      this.part(".wait").textContent = `The map cannot be shown: ${error.message}`
    }
  }

  async load(data) {
    const { source, color, axes } = data
    const set = text => (text ? fetchData.ids(`${source}/set.u32?ids=${text}`) : NONE)
    const categorical = color.kind === "categorical"
    const [Plotly, x, y, colorColumn, visible, selection, marked, matches, clusters] = await Promise.all([
      fetchData.loadPlotly(`${data.static}/plotly.min.js`),
      ...axes.map(axis => fetchData.floats(`${source}/columns/${axis.column}.f32`)),
      categorical
        ? fetchData.codes(`${source}/categories/${color.column}.i16`)
        : fetchData.floats(`${source}/columns/${color.column}.f32`),
      data.filter ? fetchData.bits(`${source}/visible.bits?${data.filter}`) : null,
      set(data.selection),
      set(data.marked),
      data.query.trim() ? fetchData.ids(`${source}/search.u32?q=${encodeURIComponent(data.query)}`) : NONE,
      axes[0].place && !data.small ? fetchData.json(`${source}/clusters.json`) : [],
    ])
    return { Plotly, columns: { x, y, color: colorColumn, visible }, sets: { selection, marked, matches }, clusters }
  }

  // plotly.js is asked only when points, colours or the theme change; everything else is the overlay's.
  async draw() {
    const { data, columns } = this
    this.theme = themeOf(this.root)
    const wanted = JSON.stringify([data.atlas, data.axes, data.color, data.filter, data.height, this.theme])
    if (wanted !== this.drawn) {
      const begin = performance.now()
      if (!this.drawn) requireWebGL()
      this.split = figure.points(columns, data)
      this.paint = figure.painter(columns, data, this.theme)
      this.legend() // first: it takes its height from the stage
      const { clientWidth, clientHeight } = this.part(".stage")
      const traces = figure.traces(columns, data, this.theme, this.split)
      const layout = figure.layout(columns, data, this.theme, clientWidth, clientHeight)
      const first = !this.drawn
      if (!first && this.graph._fullLayout) layout.dragmode = this.graph._fullLayout.dragmode
      await this.Plotly.react(this.graph, traces, layout, figure.config(data, this.tools()))
      if (first) {
        // Between the points and plotly.js's own colour bar and tools, so that a selection does not veil those.
        this.graph.querySelector(".gl-container").after(this.overlay.canvas)
        this.listen()
      }
      this.drawn = wanted
      this.root.dataset.drawMs = Math.round(performance.now() - begin)
    }
    this.repaint()
  }

  repaint() {
    const { data, columns, theme, paint, sets, clusters, split } = this
    if (!split) return
    const size = figure.pointSize(split.rest.length + split.colored.length)
    const drawable = atom => Number.isFinite(columns.x[atom]) && this.isVisible(atom)
    const shown = Object.fromEntries(Object.entries(sets).map(([name, atoms]) => [name, atoms.filter(drawable)]))
    const lit = this.lit === null ? null : split.colored.filter(atom => columns.color[atom] === this.lit)
    this.overlay.draw({
      graph: this.graph, columns, axes: data.axes, theme, paint, size, clusters, lit,
      focus: data.focus, hover: this.hover, ...shown,
    })
    const { xaxis, yaxis } = this.graph._fullLayout
    this.root.dataset.range = [...xaxis.range, ...yaxis.range].map(value => Number(value.toPrecision(6)))
    this.root.dataset.focus = data.focus ?? ""
    this.root.dataset.selected = sets.selection.length
    this.root.dataset.marked = sets.marked.length
    this.root.dataset.matches = sets.matches.length
    this.root.dataset.points = split.rest.length + split.colored.length
    this.say(shown)
  }

  say({ selection, matches }) {
    const number = value => value.toLocaleString("en")
    const parts = [`${number(this.split.rest.length + this.split.colored.length)} of ${number(this.data.atoms)} atoms`]
    const outside = this.outside()
    if (outside) parts.push(`${number(outside)} outside this view`)
    if (this.data.query.trim()) parts.push(`${number(matches.length)} match`)
    if (selection.length) parts.push(`${number(selection.length)} selected`)
    const text = parts.join(" · ")
    const status = this.part(".status")
    if (status.textContent !== text) status.textContent = text
  }

  // Atoms of the figure that the axes do not show now.
  outside() {
    const { xaxis, yaxis } = this.graph._fullLayout
    const limits = ({ range, type }) => (type === "log" ? range.map(power => 10 ** power) : range)
    const [[left, right], [low, high]] = [limits(xaxis), limits(yaxis)]
    const { x, y } = this.columns
    let count = 0
    for (const atoms of [this.split.rest, this.split.colored])
      for (const i of atoms) if (x[i] < left || x[i] > right || y[i] < low || y[i] > high) count++
    return count
  }

  isVisible(atom) {
    const { visible } = this.columns
    return !visible || (visible[atom >> 3] >> (atom & 7)) & 1
  }

  listen() {
    const atomOf = ({ curveNumber, pointNumber }) => (curveNumber ? this.split.colored : this.split.rest)[pointNumber]
    const graph = this.graph
    graph.on("plotly_relayouting", () => { this.card.hide(); this.repaint() })
    graph.on("plotly_afterplot", () => this.repaint())
    graph.on("plotly_hover", ({ points, event }) => {
      const atom = atomOf(points[0])
      const frame = this.root.getBoundingClientRect()
      const pointer = { x: event.clientX - frame.left, y: event.clientY - frame.top }
      this.card.show(atom, this.data.source, pointer, this.data.color)
      if (atom !== this.hover) { this.hover = atom; this.repaint() }
    })
    graph.on("plotly_unhover", () => this.unhover())
    graph.on("plotly_deselect", () => this.clear())
    graph.on("plotly_click", ({ points }) => this.send("clicked", atomOf(points[0])))
    graph.on("plotly_selected", event => {
      if (!event?.points?.length) return // plotly.js announces every lasso once before it has looked inside
      this.send("selected", event.points.map(atomOf))
      // The outline has done its work: the selected atoms are shown by the overlay, also after a reload of the page.
      this.Plotly.relayout(graph, { selections: [] })
    })
  }

  unhover() {
    this.card.hide()
    if (this.hover === null) return
    this.hover = null
    this.repaint()
  }

  legend() {
    const list = this.part(".legend")
    list.replaceChildren()
    this.lit = null
    if (this.data.color.kind !== "categorical" || this.data.small) return
    const hues = figure.hueList(this.data, this.theme)
    this.data.color.categories.forEach(({ name, count }, code) => {
      const button = document.createElement("button")
      button.type = "button"
      button.setAttribute("aria-pressed", "false")
      const swatch = document.createElement("i")
      swatch.style.background = hues[code]
      const words = document.createElement("span")
      words.textContent = name
      const number = document.createElement("small")
      number.textContent = count.toLocaleString("en")
      button.append(swatch, words, number)
      button.title = "Show only these atoms in colour"
      button.onclick = () => {
        this.lit = this.lit === code ? null : code
        list.querySelectorAll("button").forEach((other, i) => other.setAttribute("aria-pressed", String(i === this.lit)))
        this.repaint()
      }
      const item = document.createElement("li")
      item.append(button)
      list.append(item)
    })
  }

  tools() {
    const { Icons } = this.Plotly
    const button = (format, icon) => ({
      name: `save ${format}`, title: `Download as ${format.toUpperCase()}`, icon, click: () => savePicture(format, this),
    })
    const all = { name: "show all", title: "Show all atoms", icon: Icons.home, click: () => this.reset() }
    return { zoom: ["zoomIn2d", "zoomOut2d", all], save: [button("png", Icons.camera), button("svg", Icons.disk)] }
  }

  relayout(change) {
    return this.Plotly.relayout(this.graph, change)
  }

  reset() {
    const { columns: { x, y }, data: { axes } } = this
    return this.relayout({ "xaxis.range": figure.extent(x, axes[0].log), "yaxis.range": figure.extent(y, axes[1].log) })
  }

  clear() {
    if (this.lit !== null) { this.lit = null; this.legend() }
    this.send("selected", [])
    this.repaint()
  }

  openMiddle() {
    const { box } = this.overlay
    const middle = [box.left + box.width / 2, box.top + box.height / 2]
    let nearest = null
    let distance = Infinity
    for (const atoms of [this.split.rest, this.split.colored]) {
      for (const atom of atoms) {
        const [across, down] = this.overlay.placeOf(atom)
        const there = (across - middle[0]) ** 2 + (down - middle[1]) ** 2
        if (there < distance) [nearest, distance] = [atom, there]
      }
    }
    if (nearest !== null) this.send("clicked", nearest)
  }

  // A step to an atom outside the view moves the view there and keeps its zoom.
  keepInView(atom) {
    if (atom === null || !this.overlay.box) return
    const place = this.overlay.placeOf(atom)
    if (!Number.isFinite(place[0] + place[1]) || this.overlay.inside(place)) return
    const { xaxis, yaxis } = this.graph._fullLayout
    const { x, y } = this.columns
    const around = (axis, value) => {
      const half = (axis.range[1] - axis.range[0]) / 2
      const middle = axis.type === "log" ? Math.log10(value) : value
      return [middle - half, middle + half]
    }
    this.relayout({ "xaxis.range": around(xaxis, x[atom]), "yaxis.range": around(yaxis, y[atom]) })
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.part(".stage")
    if (!this.drawn || !width) return
    const { width: oldWidth, height: oldHeight } = this.graph._fullLayout
    if (width === oldWidth && height === oldHeight) return
    clearTimeout(this.resizeTimer)
    this.resizeTimer = setTimeout(() => this.relayout({ width, height }), 120)
  }

  destroy() {
    this.turn = NaN // whatever still loads finds itself overtaken
    this.resizing.disconnect()
    this.card.hide()
    if (this.drawn) {
      const canvases = [...this.graph.querySelectorAll(".gl-canvas")]
      this.Plotly.purge(this.graph)
      // A browser allows some sixteen WebGL contexts; waiting for garbage collection would use them up in a few page switches.
      for (const canvas of canvases) canvas.getContext("webgl")?.getExtension("WEBGL_lose_context")?.loseContext()
    }
    this.root.remove()
  }
}

// plotly.js and the points are large: a map further down the page waits until a person scrolls towards it.
function untilNear(element) {
  const margin = 300
  if (element.getBoundingClientRect().top < window.innerHeight + margin) return Promise.resolve()
  return new Promise(resolve => {
    const watch = new IntersectionObserver(
      entries => { if (entries.some(entry => entry.isIntersecting)) { watch.disconnect(); resolve() } },
      { rootMargin: `${margin}px` },
    )
    watch.observe(element)
  })
}

function requireWebGL() {
  if (!document.createElement("canvas").getContext("webgl"))
    throw new Error("this browser offers no WebGL. Turn on hardware acceleration, or use another browser.")
}
