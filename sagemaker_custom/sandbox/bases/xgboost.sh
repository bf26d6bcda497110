#!/bin/sh
# sklearn → xgboost: with XGBoost, and the handler that reads what its users send.
set -eu

/opt/conda/bin/pip install --no-compile xgboost-cpu==3.0.5
install -m 0644 /tmp/stand-in/stand_in_xgboost.py /opt/conda/lib/python3.11/site-packages
/opt/conda/bin/python -c 'import xgboost, stand_in_xgboost'
