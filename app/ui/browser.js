// The browser half of live(): shows markup, reports clicks, shows definitions, saves figures. No data is interpreted here.
const rooms = new WeakMap()

export default function (component) {
  const { data, parentElement, setTriggerValue } = component
  let room = rooms.get(parentElement)
  if (!room) {
    room = open(parentElement)
    rooms.set(parentElement, room)
  }
  room.send = (value) => setTriggerValue("event", value)
  const turn = ++room.turn
  // Two quick steps may be unpacked in either order: only the last one is shown.
  unpack(data).then((content) => { if (turn === room.turn) show(room, content) })
  return () => room.tip.remove()
}

const unpack = (bytes) => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json()

function show(room, { html, prefetch, open }) {
  if (open && room.opened !== open.turn) {
    room.opened = open.turn
    return go(new URL(open.href, document.baseURI))
  }
  if (room.shown !== html) {
    const kept = [...room.root.querySelectorAll("details[open][data-keep]")].map((d) => d.dataset.keep)
    room.tip.hidden = true
    room.root.innerHTML = html
    room.shown = html
    for (const a of room.root.querySelectorAll("[data-zoom] a")) a.tabIndex = 0
    for (const d of room.root.querySelectorAll("details[data-keep]")) if (kept.includes(d.dataset.keep)) d.open = true
  }
  if (prefetch.length) {
    const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 120))
    idle(() => prefetch.forEach((url) => { new Image().src = url }))
  }
}

function open(parent) {
  const root = document.createElement("div")
  root.className = "as-root"
  const tip = document.createElement("div")
  tip.className = "as-tip"
  tip.setAttribute("role", "tooltip")
  tip.hidden = true
  parent.append(root, tip)
  const room = { root, tip, shown: null, turn: 0, send: () => {} }

  root.addEventListener("click", (event) => {
    const picture = event.target.closest("[data-zoom] a")
    if (picture) { event.preventDefault(); return zoom(picture, room) }
    if (event.target.closest("[data-save]")) return save(event.target.closest("[data-save]"))
    const target = event.target.closest("[data-on]")
    if (!target || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return
    event.preventDefault()
    if (target.dataset.on === "go") return go(target.href)
    let value = target.dataset.value ?? ""
    if (target.dataset.grid && target.dataset.on === "patch") value += ":" + cell(target, event).index
    room.send({ on: target.dataset.on, value })
  })
  root.addEventListener("keydown", (event) => {
    const picture = event.target.closest("[data-zoom] a")
    if (picture && event.key === "Enter") return zoom(picture, room)
    const target = event.target.closest("[data-on]")
    if (!target || (target.tagName === "A" && target.href) || target.tagName === "BUTTON") return
    if (target.dataset.grid && target.dataset.on === "patch" && walk(target, event, room)) return
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      room.send({ on: target.dataset.on, value: target.dataset.value ?? "" })
    }
  })
  const explain = (text, at) => {
    tip.textContent = text
    tip.hidden = false
    const box = tip.getBoundingClientRect()
    const left = Math.min(Math.max(8, at.left + at.width / 2 - box.width / 2), innerWidth - box.width - 8)
    const above = at.top - box.height - 8
    tip.style.left = `${left}px`
    tip.style.top = `${above > 8 ? above : at.bottom + 8}px`
  }
  const tipped = (event) => {
    const target = event.target.closest?.("[data-tip], figcaption")
    const text = target?.dataset.tip ?? (target && target.scrollHeight > target.clientHeight + 1 ? target.innerText : "")
    if (text) explain(text, target.getBoundingClientRect())
    else if (!event.target.closest?.("[data-grid]")) tip.hidden = true
  }
  root.addEventListener("pointerover", tipped)
  // Pointing at a row with data-heat=URL lays that picture over the one with data-heat-here.
  const heat = (event) => {
    const row = event.target.closest?.("[data-heat]"), here = root.querySelector("[data-heat-here] .as-pic")
    if (!here) return
    here.querySelector(".as-live")?.remove()
    here.classList.toggle("as-lit", Boolean(row))
    if (row) here.append(Object.assign(document.createElement("img"), { src: row.dataset.heat, className: "as-live", alt: "" }))
  }
  root.addEventListener("pointerover", heat)
  root.addEventListener("focusin", heat)
  root.addEventListener("focusin", tipped)
  root.addEventListener("pointerleave", () => { tip.hidden = true })
  root.addEventListener("focusout", () => { tip.hidden = true })
  root.addEventListener("toggle", (event) => { if (event.target.open) tabulate(event.target) }, true)
  root.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true })

  // A picture with data-grid="rows,columns,prefix" and data-numbers=URL tells the number of the patch under the pointer.
  root.addEventListener("pointermove", async (event) => {
    const target = event.target.closest("[data-grid]")
    if (!target) return
    const { index, box } = cell(target, event)
    mark(target, index)
    if (!target.dataset.numbers) return
    const numbers = await fetched(target.dataset.numbers)
    const value = numbers?.[index]
    if (value !== undefined && target.matches(":hover")) explain(`${target.dataset.says ?? ""} ${value}`.trim(), box)
  })
  root.addEventListener("pointerout", (event) => {
    const target = event.target.closest("[data-grid]")
    if (target && !target.contains(event.relatedTarget)) { mark(target, null); tip.hidden = true }
  })
  return room
}

const answers = new Map()
function fetched(url) {
  if (!answers.has(url)) {
    answers.set(url, fetch(url).then((r) => (r.ok ? r.json() : null)).catch(() => null))
    if (answers.size > 300) answers.delete(answers.keys().next().value)
  }
  return answers.get(url)
}

function cell(target, event) {
  const [rows, columns, prefix] = target.dataset.grid.split(",").map(Number)
  const frame = target.getBoundingClientRect()
  const clamp = (x, n) => Math.min(Math.max(Math.floor(x * n), 0), n - 1)
  const row = clamp((event.clientY - frame.top) / frame.height, rows)
  const column = clamp((event.clientX - frame.left) / frame.width, columns)
  const width = frame.width / columns, height = frame.height / rows
  const box = new DOMRect(frame.left + column * width, frame.top + row * height, width, height)
  return { index: prefix + row * columns + column, box }
}

function mark(target, index) {
  let frame = target.querySelector(":scope > .as-cursor")
  if (index === null) return frame?.remove()
  const [rows, columns, prefix] = target.dataset.grid.split(",").map(Number)
  if (!frame) {
    frame = document.createElement("i")
    frame.className = "as-cursor"
    target.append(frame)
  }
  const at = index - prefix
  frame.style.cssText = `left:${((at % columns) / columns) * 100}%;top:${(Math.floor(at / columns) / rows) * 100}%;` +
    `width:${100 / columns}%;height:${100 / rows}%`
}

// Arrow keys walk over the patches of a picture that has the focus; Enter chooses.
function walk(target, event, room) {
  const [rows, columns, prefix] = target.dataset.grid.split(",").map(Number)
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
  const at = Number(target.dataset.at ?? 0)
  if (moves[event.key]) {
    const row = Math.min(Math.max(Math.floor(at / columns) + moves[event.key][0], 0), rows - 1)
    const column = Math.min(Math.max((at % columns) + moves[event.key][1], 0), columns - 1)
    target.dataset.at = row * columns + column
    mark(target, prefix + row * columns + column)
    event.preventDefault()
    event.stopPropagation()
    return true
  }
  if (event.key === "Enter" && target.dataset.at !== undefined) {
    room.send({ on: "patch", value: `${target.dataset.value}:${prefix + at}` })
    return true
  }
  return false
}

// Saves the figure's SVG as it looks now: colours come from the theme, so they are written into the copy.
function save(button) {
  const figure = button.closest("figure")?.querySelector("svg")
  if (!figure) return
  const copy = figure.cloneNode(true)
  const from = [figure, ...figure.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")]
  from.forEach((element, i) => {
    const style = getComputedStyle(element)
    for (const name of ["fill", "stroke", "stroke-width", "opacity", "font-family", "font-size", "font-weight", "text-anchor"])
      to[i].style.setProperty(name, style.getPropertyValue(name))
  })
  const { width, height } = figure.getBoundingClientRect()
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg")
  copy.setAttribute("width", width)
  copy.setAttribute("height", height)
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }))
  link.download = button.dataset.save
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 1000)
}

// Opens another page as the browser's own Back and Forward would: one entry in the history, nothing loaded again. What the
// address already says about how things are shown comes along.
export function go(href) {
  const url = new URL(href)
  for (const [name, value] of new URLSearchParams(location.search))
    if (!url.searchParams.has(name)) url.searchParams.append(name, value)
  history.pushState({}, "", url)
  dispatchEvent(new PopStateEvent("popstate"))
}

// The table of a chart, made from the tips of its marks ("name: value").
function tabulate(details) {
  if (!details.dataset.columns || details.querySelector("table")) return
  const cell = (kind, text) => Object.assign(document.createElement(kind), { textContent: text })
  const line = (kind, texts) => {
    const row = document.createElement("tr")
    row.append(...texts.map((text) => cell(kind, text)))
    return row
  }
  const table = document.createElement("table"), frame = document.createElement("div")
  table.append(line("th", details.dataset.columns.split("|")))
  for (const mark of details.closest("figure").querySelectorAll("svg [data-tip]")) {
    const at = mark.dataset.tip.lastIndexOf(": ")
    if (at > 0) table.append(line("td", [mark.dataset.tip.slice(0, at), mark.dataset.tip.slice(at + 2)]))
  }
  frame.className = "as-scroll"
  frame.append(table)
  details.append(frame)
}

// One picture large, over the page, with its whole caption and a way on.
function zoom(picture, room) {
  const dialog = document.createElement("dialog")
  dialog.className = "as-zoom"
  dialog.style.cssText = picture.closest("[data-zoom]").style.cssText // the size of a patch
  const caption = document.createElement("div")
  const text = picture.closest("figure")?.querySelector("figcaption")
  if (text) caption.append(...[...text.childNodes].map((n) => n.cloneNode(true)))
  const label = picture.querySelector("img")?.alt
  if (label) caption.append(Object.assign(document.createElement("i"), { textContent: ` ${label}` }))
  const row = document.createElement("p")
  const { zoom: says, href, items } = picture.closest("[data-zoom]").dataset
  // Whom to thank for the picture, and under which terms it may be used.
  if (items) fetched(`${items}${picture.dataset.value}.json`).then((about) => {
    const terms = about && [about.id, about.source, about.license, about.credit].filter(Boolean).join(" · ")
    if (terms) caption.append(Object.assign(document.createElement("small"), { textContent: terms }))
  })
  if (href) {
    const on = Object.assign(document.createElement("button"), { textContent: says })
    on.onclick = () => { dialog.close(); go(new URL(href + picture.dataset.value, document.baseURI)) }
    row.append(on)
  }
  if (picture.querySelector(".as-over")) {
    const bare = Object.assign(document.createElement("button"), { textContent: "Without heat map" })
    bare.onclick = () => { bare.textContent = dialog.classList.toggle("as-bare") ? "With heat map" : "Without heat map" }
    row.append(bare)
  }
  row.append(Object.assign(document.createElement("button"), { textContent: "Close", onclick: () => dialog.close() }))
  dialog.append(picture.querySelector(".as-pic, .as-text").cloneNode(true), caption, row)
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close() })
  dialog.addEventListener("close", () => { dialog.remove(); picture.focus() })
  // The arrow keys step through atoms; not behind an open picture.
  dialog.addEventListener("keydown", (event) => event.stopPropagation())
  room.root.append(dialog)
  dialog.showModal()
}
