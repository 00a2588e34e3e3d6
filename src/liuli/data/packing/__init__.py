"""Packing: documents as ids, cut into pieces and packed into rows."""
