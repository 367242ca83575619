"""The one page of the centre: plain files without external resources."""
