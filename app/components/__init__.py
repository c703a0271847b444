"""Streamlit components (v2) of the dashboard."""
