type Range = readonly [min: number, max: number] | null;

/** What a variety wants while it is in one stage; null where nobody says. */
export interface StageDefinition {
  readonly name: string;
  readonly days: Range;
  readonly temperature: Range;
  readonly humidity: Range;
  readonly ph: Range;
  readonly ec: Range;
}

/** A variety with its stages in order. */
export interface Variety {
  readonly code: string;
  readonly name: string;
  readonly category: "lettuce" | "herb" | "fruit" | "microgreen";
  readonly scientificName: string;
  readonly stages: readonly StageDefinition[];
}

const stage = (
  name: string,
  temperature: Range,
  humidity: Range,
  ph: Range,
  ec: Range,
  days: Range = null,
): StageDefinition => ({ name, days, temperature, humidity, ph, ec });

/** The hydroponics system's reference data. Seeds germinate in water: no pH or EC is asked for then. */
export const VARIETIES: readonly Variety[] = [
  {
    code: "rosso_premium",
    name: "Rosso Premium",
    category: "lettuce",
    scientificName: "Lactuca sativa",
    stages: [
      stage("germination", [18, 22], [70, 80], null, null, [0, 3]),
      stage("seedling", [20, 24], [50, 65], [5.8, 6.3], [0.8, 1.2], [3, 14]),
      stage("transplant", [20, 24], [50, 65], [5.8, 6.3], [1.0, 1.4], [14, 16]),
      stage("vegetative", [20, 24], [50, 65], [5.8, 6.3], [1.4, 1.8], [16, 35]),
      stage("maturity", [20, 24], [50, 65], [5.8, 6.3], [1.6, 2.0], [35, 50]),
      stage("harvest_ready", [20, 24], [50, 65], [5.8, 6.3], [1.6, 2.0], [50, 55]),
    ],
  },
  {
    code: "curly_green",
    name: "Curly Green",
    category: "lettuce",
    scientificName: "Lactuca sativa",
    stages: [
      stage("germination", [18, 22], [55, 70], null, null),
      stage("seedling", [18, 22], [55, 70], [6.0, 6.5], [0.6, 1.0]),
      stage("transplant", [18, 22], [55, 70], [6.0, 6.5], [0.8, 1.2]),
      stage("vegetative", [18, 22], [55, 70], [6.0, 6.5], [1.2, 1.6]),
      stage("maturity", [18, 22], [55, 70], [6.0, 6.5], [1.4, 1.8]),
      stage("harvest_ready", [18, 22], [55, 70], [6.0, 6.5], [1.4, 1.8]),
    ],
  },
  {
    code: "arugula_rocket",
    name: "Arugula Rocket",
    category: "microgreen",
    scientificName: "Eruca vesicaria",
    stages: [
      stage("germination", [15, 25], [50, 70], null, null),
      stage("seedling", [15, 25], [50, 70], [6.0, 6.5], [0.8, 1.2]),
      stage("vegetative", [15, 25], [50, 70], [6.0, 6.8], [1.2, 1.6]),
      stage("harvest_ready", [15, 25], [50, 70], [6.2, 7.0], [1.4, 1.8]),
    ],
  },
  {
    code: "basil_genovese",
    name: "Basil Genovese",
    category: "herb",
    scientificName: "Ocimum basilicum",
    stages: [
      stage("germination", [20, 28], [50, 70], null, null),
      stage("seedling", [20, 28], [50, 70], [5.5, 6.0], [0.8, 1.2]),
      stage("vegetative", [20, 28], [50, 70], [5.8, 6.2], null),
      stage("harvest_ready", [20, 28], [50, 70], [6.0, 6.4], [1.4, 1.8]),
    ],
  },
  {
    code: "mint_spearmint",
    name: "Mint Spearmint",
    category: "herb",
    scientificName: "Mentha spicata",
    stages: [
      stage("germination", [18, 28], [55, 80], null, null),
      stage("seedling", [18, 28], [55, 80], [6.0, 7.0], [1.0, 1.4]),
      stage("vegetative", [18, 28], [55, 80], [6.2, 7.0], null),
      stage("harvest_ready", [18, 28], [55, 80], [6.2, 7.0], [1.4, 1.8]),
    ],
  },
  {
    code: "tomato_cherry",
    name: "Tomato Cherry",
    category: "fruit",
    scientificName: "Solanum lycopersicum var. cerasiforme",
    stages: [
      stage("germination", [20, 30], null, null, null),
      stage("seedling", [20, 30], null, null, [1.2, 1.6]),
      stage("vegetative", [20, 30], null, null, null),
      stage("flowering", [20, 30], null, null, null),
      stage("fruiting", [20, 30], null, null, [2.2, 2.8]),
      stage("harvest_ready", [20, 30], null, null, [2.2, 2.8]),
    ],
  },
];
