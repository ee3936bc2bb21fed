// Beast's non-template half, compiled once: every other file sees declarations only.
#include <boost/beast/src.hpp>
