"""The live view as a web page: served to browsers on this machine, unless another address is asked for."""
