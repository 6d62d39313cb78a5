"""``python -m w2s_pref``: the command line."""

from w2s_pref.cli.main import main

if __name__ == "__main__":
    main()
