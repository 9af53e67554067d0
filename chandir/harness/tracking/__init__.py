"""What watches a trial: dashboards and the bar on a terminal. No number depends on it."""
