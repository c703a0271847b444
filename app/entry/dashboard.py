"""The script Streamlit runs. It lives alone in its folder: beside ``pages/`` Streamlit would list every file there."""

from app.main import main

main()
