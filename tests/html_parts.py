"""What HTML consists of, as a browser would read it: its tags, and the text between them."""

from html.parser import HTMLParser


class Parts(HTMLParser):
    """All `tags` of a piece of HTML, their `attributes`, and its `texts` without blank ones."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())
