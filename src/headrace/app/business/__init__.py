"""What releases are worth: KPIs, value, the portfolio."""
