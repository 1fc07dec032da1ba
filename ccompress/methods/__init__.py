"""The methods of compression that are compared, one file each."""
