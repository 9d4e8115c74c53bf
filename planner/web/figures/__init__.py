"""Figures as plotly documents: data in, dictionary out; nothing here touches the page."""
