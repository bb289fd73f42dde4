"""Recorded headlines labelled by hand: what a trader would take from them for the market, by their row in the file.

The rows were drawn by chance (`numpy.random.default_rng(20261121)`, 90 of the first file, then 50 of the second). 1 is
good news for the market or for the coin that it is about, -1 is bad news, 0 neither or both. Headlines of the second
file that are not about crypto or the economy are left out.
"""

FIRST = "cryptonews_2021-10_2022-07.parquet"
FIRST_LABELS = {
    1: (
        *(6, 76, 749, 918, 1073, 1128, 1135, 1826, 1939, 2019, 2217, 2531, 2563, 2790, 3736, 3797, 3873, 4182, 4325),
        *(5274, 5406, 6316, 6347, 6373, 7087, 7184, 7222),
    ),
    -1: (
        *(113, 134, 1155, 1627, 1989, 2148, 2723, 2846, 3285, 3921, 4139, 4933, 5138, 5260, 5267, 5391, 5436, 6039),
        *(6199, 6731, 7123),
    ),
    0: (
        *(295, 306, 471, 694, 815, 984, 1020, 1163, 1314, 1600, 1636, 1764, 1782, 1958, 2069, 2134, 2167, 2192, 2587),
        *(2620, 2732, 2779, 3207, 3562, 3943, 4039, 4337, 4501, 4534, 4737, 4998, 5082, 5329, 5657, 5785, 6037),
        *(6301, 6414, 6721, 7018, 7159, 7326),
    ),
}

SECOND = "crypto_news_sentiment_2024-03_2024-05.parquet"
SECOND_LABELS = {
    1: (1, 55, 70, 133, 438, 495, 522, 544, 580, 581, 681, 747, 791, 827),
    -1: (129, 176, 260, 276, 314, 393, 472, 501, 536, 582, 668, 762),
    0: (180, 217, 231, 289, 309, 364, 678, 809, 812, 813),
}
