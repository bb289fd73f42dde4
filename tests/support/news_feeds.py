"""Feeds written by hand after the formats' specifications, in the shapes and encodings that publishers use."""

import json
from collections.abc import Sequence

RSS_2 = """<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet type="text/xsl" href="style.xsl"?>
<!-- made by hand -->
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom">
<channel>
  <title>Coin Post</title><link>https://coin.example</link><description>News</description>
  <item>
    <title><![CDATA[Bitcoin <b>rallies</b> &amp; Ether follows]]></title>
    <link>https://coin.example/a?utm_source=rss&amp;id=1</link>
    <guid isPermaLink="false">post-1</guid>
    <pubDate>Mon, 05 Aug 2024 12:00:00 +0200</pubDate>
  </item>
  <item>
    <title>Fees &lt; 1 &amp;amp; falling</title>
    <link>javascript:alert(1)</link>
    <guid>post-2</guid>
    <pubDate>yesterday, perhaps</pubDate>
  </item>
  <item><title>  </title><link>https://coin.example/untitled</link></item>
  <item><title>Caf\u00e9 accepts \u20bf</title><link>https://coin.example/c</link></item>
</channel></rss>
"""

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <title>Chain Daily</title><id>urn:chain</id><updated>2024-08-05T10:00:00Z</updated>
  <entry>
    <title type="html">Exchange &amp;lt;i&amp;gt;hacked&amp;lt;/i&amp;gt; overnight</title>
    <link rel="alternate" href="https://chain.example/1"/><id>urn:chain:1</id><updated>2024-08-05T09:59:59Z</updated>
  </entry>
  <entry>
    <title type="text">Rates &lt;unchanged&gt;</title>
    <link href="https://chain.example/2"/><id>urn:chain:2</id><published>2099-01-01T00:00:00Z</published>
  </entry>
</feed>
"""

RDF = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
  xmlns:dc="http://purl.org/dc/elements/1.1/">
  <channel rdf:about="https://old.example"><title>Old News</title><link>https://old.example</link></channel>
  <item rdf:about="https://old.example/1"><title>Miners move</title><link>https://old.example/1</link>
    <dc:date>0001-01-01T00:00:00Z</dc:date></item>
</rdf:RDF>
"""

BLOCK_PAGE = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
)


def rss(titles: Sequence[str], site: str = "https://coin.example") -> bytes:
    """An RSS feed with these titles, as CDATA."""
    items = "".join(
        f"<item><title><![CDATA[{title}]]></title><link>{site}/{number}</link></item>"
        for number, title in enumerate(titles)
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{items}</channel></rss>'.encode()


def index(*rows: tuple[object, object, object]) -> bytes:
    """An answer of the fear-and-greed index: rows of value, classification and seconds."""
    data = [
        {"value": value, "value_classification": words, "timestamp": seconds, "time_until_update": "68499"}
        for value, words, seconds in rows
    ]
    return json.dumps({"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}}).encode()
