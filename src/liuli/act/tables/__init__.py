"""Tables on disk: reads them, joins them outside of the model, and asks a model how to join them."""

from liuli.lazy import modules_of

__getattr__ = modules_of(__name__)
