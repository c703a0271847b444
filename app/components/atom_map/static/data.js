// What the map fetches: each address names its content, so it is fetched once and shared by every map of the page.

const KEEP = 80
const fetched = new Map()

function once(url, read) {
  if (fetched.has(url)) return fetched.get(url)
  const answer = fetch(url).then(async response => {
    if (response.ok) return read(response)
    const reason = await response.json().then(body => body.error, () => response.statusText)
    throw new Error(reason)
  })
  answer.catch(() => fetched.delete(url)) // a failure is tried again, not remembered
  fetched.set(url, answer)
  if (fetched.size > KEEP) fetched.delete(fetched.keys().next().value)
  return answer
}

const typed = Type => url => once(url, async response => new Type(await response.arrayBuffer()))

export const floats = typed(Float32Array)
export const codes = typed(Int16Array)
export const ids = typed(Uint32Array)
export const bits = typed(Uint8Array)
export const json = url => once(url, response => response.json())

let plotly = null

// plotly.js is a classic script that names itself `Plotly`; it is as large as the rest of the page, so it comes once.
export function loadPlotly(url) {
  if (window.Plotly) return Promise.resolve(window.Plotly)
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = url
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => { plotly = null; reject(new Error("plotly.js did not load; reload the page to try again")) }
    document.head.append(script)
  })
  return plotly
}
