"""The web app: pages, figures and tables that show plans. Sums of bytes are made below, not here."""
