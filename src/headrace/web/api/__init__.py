"""The control plane under ``/api/v1``: JSON in and out, one file per noun."""
