/** The one script of the pages: each part looks whether its page is there. */

import { startBoard } from "./board";
import { startDeal } from "./deal";
import { startRecords } from "./records";
import { startShell } from "./shell";

startShell();
startBoard();
startDeal();
startRecords();
