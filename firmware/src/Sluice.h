// Everything a sketch needs: #include <Sluice.h>
#pragma once
#include "sluice/commands.h"
#include "sluice/node.h"
