"""What releases are worth: KPIs, value, the portfolio, and what another version would have said."""
