// The card beside the pointer: an atom's name, its numbers and the pictures that excite it most, fetched when asked for.

import { json } from "./data.js"

const WAIT = 70 // ms a pointer rests before anything is fetched

const FIGURES = [
  ["frequency", "frequency"],
  ["mean_activation", "mean activation"],
  ["label_entropy", "label entropy"],
  ["monosemanticity", "monosemanticity"],
]

export class Card {
  constructor(element, frame) {
    this.element = element
    this.frame = frame
    this.timer = null
    this.atom = null
  }

  show(atom, source, pointer, extra) {
    this.place(pointer)
    if (atom === this.atom) return
    this.atom = atom
    clearTimeout(this.timer)
    this.timer = setTimeout(async () => {
      this.fill({ atom, label: "", status: "", values: {}, thumbs: [], texts: [] }, extra)
      this.place(pointer)
      this.element.hidden = false
      try {
        const card = await json(`${source}/atoms/${atom}.json`)
        if (atom === this.atom) this.fill(card, extra)
      } catch (error) {
        if (atom === this.atom) this.element.append(line("p", String(error.message)))
      }
      this.place(pointer)
    }, WAIT)
  }

  hide() {
    clearTimeout(this.timer)
    this.atom = null
    this.element.hidden = true
  }

  // Text goes in as text: a label comes from a caption that somebody wrote.
  fill(card, extra) {
    const head = line("header", "")
    head.append(line("b", card.label || `atom ${card.atom}`), line("span", `#${card.atom}`))
    const strip = line("div", "", "strip")
    for (const url of card.thumbs) {
      const image = new Image()
      image.src = url
      image.alt = ""
      strip.append(image)
    }
    for (const text of card.texts) strip.append(quote(text))
    strip.classList.toggle("texts", card.texts.length > 0)
    const shown = FIGURES.some(([name]) => name === extra.column) ? FIGURES : [[extra.column, extra.title], ...FIGURES]
    const table = line("dl", "")
    for (const [name, title] of shown) {
      const value = card.values[name]
      if (value === undefined || value === null) continue
      table.append(line("dt", title), line("dd", Number(value.toPrecision(3)).toString()))
    }
    if (card.status && card.status !== "live") table.append(line("dt", "status"), line("dd", card.status))
    this.element.replaceChildren(head, strip, table)
  }

  place(pointer) {
    const { width, height } = this.frame.getBoundingClientRect()
    const right = pointer.x > width - this.element.offsetWidth - 30
    const below = pointer.y < height - this.element.offsetHeight - 20
    this.element.style.left = `${right ? pointer.x - this.element.offsetWidth - 16 : pointer.x + 16}px`
    this.element.style.top = `${below ? pointer.y + 12 : Math.max(pointer.y - this.element.offsetHeight - 12, 4)}px`
  }
}

// A text, or the words before, at and after the token that excites the atom.
function quote(text) {
  if (typeof text === "string") return line("q", text)
  const element = line("q", "")
  element.append(text.before, line("mark", text.at), text.after)
  return element
}

function line(tag, text, name = "") {
  const element = document.createElement(tag)
  element.textContent = text
  if (name) element.className = name
  return element
}
