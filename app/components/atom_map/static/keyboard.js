// The map without a mouse: arrows pan, + and - zoom, 0 shows all, Enter opens the atom in the middle, Esc clears.

const PAN = 0.12
const ZOOM = 1.4

export function onKey(event, map) {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const axes = map.graph?._fullLayout
  if (!axes) return
  const move = (name, by) => {
    const [low, high] = axes[name].range
    return { [`${name}.range`]: [low + by * (high - low), high + by * (high - low)] }
  }
  const zoom = factor =>
    Object.assign({}, ...["xaxis", "yaxis"].map(name => {
      const [low, high] = axes[name].range
      const middle = (low + high) / 2
      return { [`${name}.range`]: [middle - (middle - low) / factor, middle + (high - middle) / factor] }
    }))
  const actions = {
    ArrowLeft: () => map.relayout(move("xaxis", -PAN)),
    ArrowRight: () => map.relayout(move("xaxis", PAN)),
    ArrowUp: () => map.relayout(move("yaxis", PAN)),
    ArrowDown: () => map.relayout(move("yaxis", -PAN)),
    "+": () => map.relayout(zoom(ZOOM)),
    "=": () => map.relayout(zoom(ZOOM)),
    "-": () => map.relayout(zoom(1 / ZOOM)),
    0: () => map.reset(),
    Enter: () => map.openMiddle(),
    Escape: () => map.clear(),
  }
  if (!(event.key in actions)) return
  // The page steps through atoms with the same arrows; while the map has the focus they are the map's.
  event.preventDefault()
  event.stopPropagation()
  actions[event.key]()
}
