"""What the server tells about its work: ledger, metrics, reports, logs."""
