"""The server's reports on its own work: ledger, metrics, reports, logs."""
