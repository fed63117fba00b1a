from settings_py.site.mistaken_base import *
