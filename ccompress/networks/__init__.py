"""The networks that are compared, and the class that one of your own begins from."""

from ccompress.networks.base import Network
from ccompress.networks.dan import DAN
from ccompress.networks.lstm import LSTM

__all__ = [
    "DAN",
    "LSTM",
    "Network",
]
