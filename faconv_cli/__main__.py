"""``python -m faconv_cli`` is ``faconv``."""

from faconv_cli.app import main

main()
