"""The doubles' recipe with a user's own stage before the filter's."""

from dataclasses import replace

from doubles import recipe as doubles
from sharpness import Sharpness

recipe = replace(doubles, name="user-stage", filter=[Sharpness(least=550.0), *doubles.filter])
