"""The cells of the matrix by name; each family of faults has a module of its own."""

from tests.faults import (
    faults_of_bridge,
    faults_of_brokers,
    faults_of_lanes,
    faults_of_members,
    faults_of_roles,
    faults_of_storage,
)
from tests.faults.run import Cell

CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        *faults_of_roles.CELLS,
        *faults_of_bridge.CELLS,
        *faults_of_brokers.CELLS,
        *faults_of_members.CELLS,
        *faults_of_lanes.CELLS,
        *faults_of_storage.CELLS,
    )
}
