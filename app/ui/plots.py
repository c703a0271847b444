"""Plotly figures inside Streamlit, set up once: nothing leaves the machine, nothing distracts."""

from __future__ import annotations

from typing import Any

import streamlit as st

# plotly.js can send a chart to a cloud service; that button must not exist and has no address to send to.
CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "plotlyServerURL": "",
    "showSendToCloud": False,
    "showLink": False,
    "modeBarButtonsToRemove": ["sendDataToCloud", "sendChartToCloud", "editInChartStudio", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "scale": 2},
}


def show_plot(figure: Any, key: str, alt: str, table: Any = None, **options: Any) -> Any:
    """Show a plotly figure in the theme's colours, with its name for screen readers and, folded, its table."""
    answer = st.plotly_chart(figure, key=key, alt=alt, config=CONFIG, **options)
    if table is not None:
        with st.expander("Table", key=f"{key}_table"):
            st.dataframe(table, hide_index=True, height="content", alt=f"Table of: {alt}")
    return answer
