"""`python -m yolox_deploy`: the command line, where its program is not on the path."""

from yolox_deploy.cli import main

if __name__ == "__main__":
    main()
