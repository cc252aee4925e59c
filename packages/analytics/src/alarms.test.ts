import { expect, test } from "@jest/globals";
import { classifyAlert, readAlarmList } from "./alarms.ts";

test("TRAP: 'err' is a word, not a part of one, and the gravest kind wins", () => {
  const kinds = {
    "EMERGENCY STOP pressed, error 5": "emergency",
    "Parada de emergencia": "emergency",
    "Emerg.stop": "emergency",
    "ERR 21": "error",
    ERR_21: "error",
    ERR21: "error",
    "Spindle error": "error",
    "Errores de eje": "error",
    "FALLO: eje X": "error",
    AXIS_FAULT: "error",
    "Alarm: low oil": "warning",
    "Warning, door open": "warning",
    "AVISO filtro": "warning",
    "¡Atención!": "other",
    Attention: "warning",
    "Valor erróneo": "other",
    "Ciclo interrum.": "other",
    interrumpido: "other",
    "Terror de mirror": "other",
    "default value": "other",
    Submergence: "other",
    "": "other",
  } as const;
  for (const [text, kind] of Object.entries(kinds)) expect([text, classifyAlert(text)]).toEqual([text, kind]);
  expect(classifyAlert(null)).toBe("other");
});

test("an alarm is newly raised where the list before had none of its code, number and text", () => {
  const first = readAlarmList('[["1", "Door", "", "", 4], ["2", "Axis fault", "", "", 0]]', new Set());
  expect(first?.alarms.map(({ newlyRaised }) => newlyRaised)).toEqual([true, true]);
  const second = readAlarmList(
    '[["2","Axis fault","x","y",0],["1","Door","","",5],["1","Door open","","",4]]',
    first?.active ?? new Set(),
  );
  expect(second?.alarms.map(({ newlyRaised }) => newlyRaised)).toEqual([false, true, true]);
});

test("codes are text or nothing, and elements keep what they had", () => {
  const list = readAlarmList('[[700012, " Oil low ", null, 3.5, true], ["", null]]', new Set());
  expect(list?.alarms).toMatchObject([
    { position: 0, code: "700012", text: "Oil low", element: [700_012, " Oil low ", null, 3.5, true] },
    { position: 1, code: null, text: null, type: "other" },
  ]);
});

test("what is no list is none, and what is no alarm in one is counted", () => {
  for (const text of ["", "[", "null", '{"a":1}', "12", '[["1","a"]'])
    expect(readAlarmList(text, new Set())).toBeUndefined();
  expect(readAlarmList('["a", ["1"], [["x"], "y"], {"c": 1}, ["1", "b"]]', new Set())).toMatchObject({
    bad: 4,
    alarms: [{ position: 4 }],
  });
});
