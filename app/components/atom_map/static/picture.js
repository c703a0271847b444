// The map as a file. plotly.js writes the points and the colour bar; what is painted over them is added here.

import { hueList } from "./figure.js"

export async function savePicture(format, map) {
  const svg = await composed(map)
  const name = `atom-map-${map.data.atlas}-${map.data.color.column}`
  if (format === "svg") return save(new Blob([svg], { type: "image/svg+xml" }), `${name}.svg`)
  const { width, height } = map.graph._fullLayout
  const image = new Image()
  image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }))
  await image.decode()
  const canvas = document.createElement("canvas")
  canvas.width = width * 2
  canvas.height = height * 2
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height)
  URL.revokeObjectURL(image.src)
  canvas.toBlob(blob => save(blob, `${name}.png`), "image/png")
}

async function composed({ graph, overlay, data, theme }) {
  const { width, height } = graph._fullLayout
  const url = await window.Plotly.toImage(graph, { format: "svg", width, height, imageDataOnly: false })
  const text = decodeURIComponent(url.slice(url.indexOf(",") + 1))
  const page = new DOMParser().parseFromString(text, "image/svg+xml")
  const root = page.documentElement
  const dots = page.createElementNS(root.namespaceURI, "image")
  dots.setAttribute("href", overlay.canvas.toDataURL())
  dots.setAttribute("width", width)
  dots.setAttribute("height", height)
  root.append(dots)
  for (const child of overlay.svg.children) root.append(page.importNode(child, true))
  if (data.color.kind === "categorical") legend(page, root, data, theme, height)
  return new XMLSerializer().serializeToString(page)
}

function legend(page, root, data, theme, height) {
  const hues = hueList(data, theme)
  data.color.categories.forEach(({ name, count }, i) => {
    const down = height - 18 * (data.color.categories.length - i)
    const square = page.createElementNS(root.namespaceURI, "rect")
    const text = page.createElementNS(root.namespaceURI, "text")
    Object.entries({ x: 10, y: down - 9, width: 10, height: 10, fill: hues[i] }).forEach(([k, v]) => square.setAttribute(k, v))
    Object.entries({ x: 26, y: down, fill: theme.text, "font-size": 12, "font-family": theme.font }).forEach(([k, v]) =>
      text.setAttribute(k, v))
    text.textContent = `${name} (${count.toLocaleString("en")})`
    root.append(square, text)
  })
}

function save(blob, name) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
