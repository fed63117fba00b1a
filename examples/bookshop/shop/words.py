"""The words that titles and names are made of."""

FIRST_NAMES = """
Ada Agnes Amara Anouk Arun Astrid Beatriz Bram Caspar Cecilia Chidi Clara Dagny Dario Edda Elif Emil Esme Farid Felix
Greta Hana Hugo Ilse Imani Ingrid Ivo Jana Jonas Joan Kaito Karim Lena Leo Linnea Lucia Malik Mara Marek Mei Milo Nadia
Nils Noor Olga Oskar Paula Petra Priya Quentin Rafael Rosa Runa Samir Selma Sofia Tariq Theo Tove Uma Vera Viktor Wanda
Yara Yusuf Zofia
""".split()

LAST_NAMES = """
Abara Adler Almeida Andersen Aoki Bakker Banerjee Barros Bell Berg Bianchi Castellan Chen Costa Dahl Delacroix Demir
Dufour Ekström Eriksen Farouk Fischer Fontaine Garnier Grant Haddad Halloran Hansen Hartmann Horvat Ibsen Ito Jansen
Kaplan Keller Kowalski Kruse Larsen Lindqvist Lowe Marchetti Mendes Moreau Mori Nakamura Novak Okafor Olsen Osei Park
Petrov Quist Rahman Reyes Rossi Sandoval Santos Sato Silva Sommer Suzuki Tanaka Thorne Umar Valdez Varga Vogel Weiss
Whitlock Yilmaz Zamora Zeller
""".split()

ADJECTIVES = """
Amber Ancient Bitter Borrowed Bright Broken Burning Careful Cold Crooked Dark Deep Distant Drowned Early Empty Endless
Fallen Faithful Forgotten Frozen Gentle Golden Green Grey Hidden Hollow Honest Hungry Invisible Last Late Little Lonely
Long Lost Narrow Northern Old Open Pale Patient Quiet Red Restless Salted Second Secret Seventh Silent Silver Singing
Sleeping Slow Small Stolen Stubborn Sunken Tall Tender Third Unfinished Untold Upright Velvet Wandering White Wild
Winter Wooden Young
""".split()

NOUNS = """
Almanac Anchor Apple Archive Atlas Bell Birch Boat Bridge Candle Cartographer Cedar Clock Comet Compass Country
Crossing Crow Daughter Door Engine Falcon Feather Ferry Field Fire Fox Garden Ghost Glacier Harbour Harvest Heron
Horizon House Island Journey Key Kingdom Lamp Lantern Letter Library Lighthouse Map Meadow Mirror Moon Moth Mountain
Needle Night Oak Orchard Owl Painter Path Pine Pocket Promise Raven River Road Root Salt Season Shadow Ship Sparrow
Staircase Star Stone Storm Stranger Summer Swallow Thread Tide Tower Traveller Tree Valley Village Violin Voice
Watchmaker Well Whale Window Winter Witness Wolf
""".split()

PLACES = """
Aarhus Antwerp Bergen Bologna Bruges Cádiz Cork Dakar Delft Dubrovnik Fez Galway Ghent Gdańsk Granada Hanoi Helsinki
Hobart Istanbul Jaipur Kyoto Lisbon Ljubljana Lviv Lyon Malmö Mantua Marrakesh Mombasa Nantes Odense Oslo Palermo Porto
Quebec Ravenna Reykjavík Riga Salamanca Samarkand Seville Sibiu Tallinn Tbilisi Trieste Turin Turku Uppsala Utrecht
Valparaíso Vilnius Zadar
""".split()

TITLES = {
    "children": (
        "{name} and the {adjective} {noun}",
        "Good Night, {adjective} {noun}",
        "The {noun} Who Looked for a {other}",
        "{name} Finds a {noun} in {place}",
    ),
    "crime": (
        "The {adjective} {noun} Murders",
        "Death of a {noun}: A {place} Mystery",
        "The {place} {noun}",
        "No {noun} for {name}",
    ),
    "fantasy": (
        "The {adjective} {noun} and the {other}",
        "Heir of the {adjective} {noun}",
        "A {noun} of the {adjective} {other}",
        "The {noun} Beneath {place}",
    ),
    "history": (
        "{place}: The {adjective} Years",
        "The {noun} and the {other}: A History of {place}",
        "{adjective} {noun}: How {place} Changed the World",
        "The {adjective} Century of {place}",
    ),
    "nature": (
        "The {adjective} {noun}: A Year near {place}",
        "Where the {noun} Meets the {other}",
        "Notes from a {adjective} {noun}",
        "The Life of the {adjective} {noun}",
    ),
    "poetry": (
        "{adjective} {noun}, {adjective} {other}",
        "Songs for a {adjective} {noun}",
        "{noun}, {other}, {place}",
        "The {noun} Has No {other}",
    ),
    "science": (
        "The {adjective} {noun}: A Theory of the {other}",
        "Why the {noun} Is {adjective}",
        "From {noun} to {other}: The {place} Lectures",
        "The {noun} Equation of {place}",
    ),
    "travel": (
        "{place} by {adjective} Roads",
        "From {place} with a {noun}",
        "The {adjective} Way to {place}",
        "A {noun} and a {other} in {place}",
    ),
}
