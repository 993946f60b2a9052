"""Write the pages into the folder `docs`."""

from deploy.reference.files import FOLDER, files

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content)
