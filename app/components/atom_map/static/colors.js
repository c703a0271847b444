// Colours of atoms: a palette for numbers, at most eight hues for categories, the theme's own for everything around them.

export function themeOf(element) {
  const style = getComputedStyle(element)
  const read = (name, fallback) => {
    const value = style.getPropertyValue(name).trim()
    return value && value !== "unset" ? value : fallback
  }
  const background = read("--st-background-color", "#ffffff")
  const dark = luminance(background) < 0.4
  return {
    dark,
    background,
    text: read("--st-text-color", dark ? "#fafafa" : "#1f2328"),
    primary: read("--st-primary-color", "#d55e00"),
    border: read("--st-border-color", dark ? "#3a3f4b" : "#d0d7de"),
    panel: read("--st-secondary-background-color", dark ? "#1c2029" : "#f4f5f7"),
    font: read("--st-font", "sans-serif"),
    ring: dark ? "#ff7f3f" : "#d55e00", // vermilion: neither in viridis nor in cividis
    rest: dark ? "#59606d" : "#c3c8d0", // atoms without a value or outside the named categories
  }
}

// The end of a palette that meets the background is cut off, or the lowest atoms vanish in the dark (highest in the light).
export function paletteFor(theme, palette) {
  return theme.dark ? palette.slice(1) : palette.slice(0, -1)
}

export function steps(colors) {
  return colors.flatMap((color, i) => [[i / colors.length, color], [(i + 1) / colors.length, color]])
}

export function gradient(colors) {
  return colors.map((color, i) => [i / (colors.length - 1), color])
}

// A table of CSS colours for values in [0, 1].
export function lookup(colors, size = 128) {
  const parts = colors.map(rgb)
  return Array.from({ length: size }, (_, k) => {
    const at = (k / (size - 1)) * (parts.length - 1)
    const low = Math.min(Math.floor(at), parts.length - 2)
    const mix = parts[low].map((channel, c) => Math.round(channel + (parts[low + 1][c] - channel) * (at - low)))
    return `rgb(${mix.join(",")})`
  })
}

export function fade(color, alpha) {
  return `rgba(${rgb(color).join(",")},${alpha})`
}

function rgb(color) {
  const hex = color.match(/^#([0-9a-f]{3}|[0-9a-f]{6})$/i)
  if (!hex) return (color.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number)
  const digits = hex[1].length === 3 ? [...hex[1]].map(d => d + d) : hex[1].match(/../g)
  return digits.map(d => parseInt(d, 16))
}

function luminance(color) {
  const [r, g, b] = rgb(color).map(channel => channel / 255)
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
